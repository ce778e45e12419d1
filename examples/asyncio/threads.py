import asyncio, threading, time

def blocking(n):
    time.sleep(0.02)
    return n * 10, threading.current_thread() is not threading.main_thread()

async def double(n):
    await asyncio.sleep(0.01)
    return n * 2

async def main():
    print(await asyncio.gather(asyncio.to_thread(blocking, 1), asyncio.to_thread(blocking, 2)))
    loop = asyncio.get_running_loop()
    answers = []

    def other_thread():
        answers.append(asyncio.run_coroutine_threadsafe(double(21), loop).result())

    thread = threading.Thread(target=other_thread)
    thread.start()
    await asyncio.to_thread(thread.join)
    print(answers)

asyncio.run(main())
