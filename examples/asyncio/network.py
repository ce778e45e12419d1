import asyncio

async def handle(reader, writer):
    while line := await reader.readline():
        writer.write(b"echo: " + line)
        await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()

    async def ask(name):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"{name}\n".encode())
        answer = await reader.readuntil(b"\n")
        writer.close()
        return answer.decode().strip()

    print(await asyncio.gather(ask("one"), ask("two"), ask("three")))
    server.close()
    await server.wait_closed()
    print("closed")

asyncio.run(main())
