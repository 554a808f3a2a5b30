"""What is changed in a copy of an app so that its protected path crashes or takes seconds."""

WORKS = '{"message": "Access granted"}'  # what the protected path answers, in the code of every app
FAULTS = {  # what stands there in a copy
    "crash": "{}[0]",
    "slow": f"(print('in flight', flush=True), __import__('time').sleep(2), {WORKS})[2]",
    "slow-async": f"(print('in flight', flush=True), await __import__('asyncio').sleep(2), {WORKS})[2]",
}


def with_fault(code: str, state: str) -> str:
    """Return the code of an app.py with what a state needs where the answer of the protected path stands."""
    assert code.count(WORKS) == 1, f"app.py has to say {WORKS} once, for a test to put a fault there"
    fault = "slow-async" if state == "slow" and "async def protected" in code else state
    return code.replace(WORKS, FAULTS.get(fault, WORKS))
