import asyncio, time

async def fetch(name, seconds):
    await asyncio.sleep(seconds)
    print("fetched", name)
    return name.upper()

async def main():
    start = time.monotonic()
    print(await asyncio.gather(fetch("a", 0.06), fetch("b", 0.02), fetch("c", 0.04)))
    print("together, not one after the other:", time.monotonic() - start < 0.12)
    for first in asyncio.as_completed([fetch("d", 0.04), fetch("e", 0.02)]):
        print("next:", await first)
    tasks = [asyncio.create_task(fetch(name, 0.02 * n)) for n, name in enumerate("fgh", 1)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    print("done", len(done), "pending", len(pending))
    done, pending = await asyncio.wait(pending)
    print("done", len(done), "pending", len(pending))

asyncio.run(main())
