import asyncio

async def square(n):
    print("begin", n)
    await asyncio.sleep(0.01 * n)
    print("end", n)
    return n * n

async def main():
    tasks = [asyncio.create_task(square(n), name=f"square {n}") for n in (3, 1, 2)]
    print("created", [task.get_name() for task in tasks])
    print("done:", tasks[0].done())
    results = [await task for task in tasks]
    print("results", results)
    print("done:", tasks[0].done())

asyncio.run(main())
