def average():
    total, count, mean = 0.0, 0, None
    try:
        while True:
            value = yield mean
            total += value
            count += 1
            mean = total / count
    finally:
        print("closed after", count)

coroutine = average()
next(coroutine)
for value in (10, 20, 60):
    print("sent", value, "got", coroutine.send(value))
coroutine.close()

def countdown(n):
    while n > 0:
        yield n
        n -= 1
    return "lift-off"

for n in countdown(3):
    print(n)
