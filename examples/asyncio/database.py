import asyncio, sqlite3

def query(name):
    database = sqlite3.connect(":memory:")
    database.execute("create table users (id integer primary key, name text)")
    database.executemany("insert into users (name) values (?)", [("ann",), ("bob",), ("cy",)])
    return database.execute("select id from users where name = ?", (name,)).fetchone()

async def main():
    # The driver blocks, so each query goes to a thread.
    print(await asyncio.gather(*(asyncio.to_thread(query, name) for name in ("ann", "cy", "zoe"))))

asyncio.run(main())
