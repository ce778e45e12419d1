def inner():
    received = yield "inner asks"
    print("inner got", received)
    received = yield "inner asks again"
    print("inner got", received)
    return "inner's result"

def outer():
    yield "outer begins"
    result = yield from inner()
    print("outer got", result)
    yield "outer ends"

coroutine = outer()
print(next(coroutine))
print(coroutine.send(None))
print(coroutine.send(1))
print(coroutine.send(2))
try:
    coroutine.send(None)
except StopIteration:
    print("stopped")
