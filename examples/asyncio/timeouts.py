import asyncio

async def slow():
    await asyncio.sleep(3600)

async def main():
    try:
        await asyncio.wait_for(slow(), timeout=0.01)
    except TimeoutError:
        print("too slow")
    try:
        async with asyncio.timeout(0.05):
            await asyncio.sleep(0.01)
            print("in time")
            await slow()
    except TimeoutError:
        print("too slow as a whole")
    shielded = asyncio.create_task(asyncio.sleep(0.03, result="saved"))
    try:
        await asyncio.wait_for(asyncio.shield(shielded), timeout=0.01)
    except TimeoutError:
        print("not waited for, and not cancelled:", await shielded)

asyncio.run(main())
