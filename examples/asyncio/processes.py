import asyncio

async def run(*command):
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode().strip(), process.returncode

async def main():
    print(await asyncio.gather(run("echo", "one"), run("sh", "-c", "echo two; exit 3")))
    cat = await asyncio.create_subprocess_exec(
        "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    cat.stdin.write(b"through a pipe\n")
    cat.stdin.close()
    print((await cat.stdout.readline()).decode().strip())
    await cat.wait()

asyncio.run(main())
