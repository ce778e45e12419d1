import asyncio

async def divide(a, b):
    await asyncio.sleep(0.01)
    return a // b

async def main():
    task = asyncio.create_task(divide(1, 0))
    try:
        await task
    except ZeroDivisionError as error:
        print("caught:", error)
    results = await asyncio.gather(divide(6, 3), divide(1, 0), divide(8, 2), return_exceptions=True)
    print([result if isinstance(result, int) else type(result).__name__ for result in results])
    try:
        await asyncio.gather(divide(6, 3), divide(1, 0))
    except ZeroDivisionError:
        print("the first failure goes on")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(divide(1, 0))
            group.create_task(asyncio.sleep(3600))
    except ExceptionGroup as failures:
        print("failures:", [type(failure).__name__ for failure in failures.exceptions])

asyncio.run(main())
