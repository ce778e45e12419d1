import asyncio

loop = asyncio.new_event_loop()
loop.call_soon(print, "soon")
loop.call_later(0.03, print, "later")
loop.call_at(loop.time() + 0.01, print, "at a time")
handle = loop.call_later(0.02, print, "never")
handle.cancel()

async def main():
    print("main")
    await asyncio.sleep(0.05)
    return "result"

print(loop.run_until_complete(main()))

async def again():
    return "the loop runs again"

print(loop.run_until_complete(again()))
loop.close()
