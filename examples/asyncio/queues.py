import asyncio

async def main():
    queue, done = asyncio.Queue(maxsize=2), []

    async def worker(name):
        while True:
            item = await queue.get()
            await asyncio.sleep(0.001)
            done.append(item)
            queue.task_done()

    workers = [asyncio.create_task(worker(name)) for name in "ab"]
    for item in range(6):
        await queue.put(item)
    await queue.join()
    for task in workers:
        task.cancel()
    print(sorted(done))

    lock, counter = asyncio.Lock(), 0

    async def count():
        nonlocal counter
        async with lock:
            before = counter
            await asyncio.sleep(0)
            counter = before + 1

    await asyncio.gather(*(count() for _ in range(10)))
    print(counter)

asyncio.run(main())
