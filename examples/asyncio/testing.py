import asyncio, unittest

async def poll(ready, every):
    attempts = 1
    while not ready():
        await asyncio.sleep(every)
        attempts += 1
    return attempts

class PollTest(unittest.IsolatedAsyncioTestCase):
    async def test_poll(self):
        # Real time: an hour between the attempts would take hours.
        answers = iter([False, False, True])
        self.assertEqual(await poll(lambda: next(answers), 0.001), 3)

result = unittest.TextTestRunner(stream=open("/dev/null", "w")).run(
    unittest.defaultTestLoader.loadTestsFromTestCase(PollTest))
print("tests:", result.testsRun, "failures:", len(result.failures))
