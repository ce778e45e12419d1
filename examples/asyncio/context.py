import asyncio, contextvars

request = contextvars.ContextVar("request", default=0)

async def log(text):
    print(f"request {request.get()}: {text}")

async def handle(number):
    request.set(number)
    await asyncio.sleep(0.01 * number)
    await asyncio.create_task(log("from a child"))

async def main():
    await asyncio.gather(handle(1), handle(2))
    await log("main's own")

asyncio.run(main())
