import asyncio, os, pathlib, tempfile

async def main():
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(directory, f"{n}.txt") for n in range(3)]
        for n, path in enumerate(paths):
            await asyncio.to_thread(path.write_text, "line\n" * (n + 1))
        texts = await asyncio.gather(*(asyncio.to_thread(path.read_text) for path in paths))
        print([len(text.splitlines()) for text in texts])
        try:
            await asyncio.to_thread(pathlib.Path(directory, "missing").read_text)
        except FileNotFoundError:
            print("there is no such file")

asyncio.run(main())
