import asyncio

async def worker():
    try:
        print("working")
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("cleaning up")
        raise

async def main():
    task = asyncio.create_task(worker())
    await asyncio.sleep(0.01)
    print("cancel:", task.cancel())
    try:
        await task
    except asyncio.CancelledError:
        print("main: it was cancelled")
    print("cancelled:", task.cancelled())
    print("again:", task.cancel())

asyncio.run(main())
