"""A programmable controller of a test: commands on standard input, answers on standard output, over pymodbus.

    python3 controller.py HOST PORT
    read            the input registers 0 to 17, and the discrete inputs as 0 and 1
    holding A N     N holding registers from A on
    coil A 0|1      write a coil
    word A VALUE    write a holding register
    wait BIT        until this discrete input is 1, at most 60 seconds
"""
import sys, time
from pymodbus.client import ModbusTcpClient

client = ModbusTcpClient(sys.argv[1], port=int(sys.argv[2]))
assert client.connect()


def words(answer):
    return "error %d" % answer.exception_code if answer.isError() else " ".join(map(str, answer.registers))


def bits():
    return "".join(str(int(bit)) for bit in client.read_discrete_inputs(0, 6).bits[:6])


for line in sys.stdin:
    command, *rest = line.split()
    numbers = [int(n) for n in rest]
    if command == "read":
        said = words(client.read_input_registers(0, 18)) + " " + bits()
    elif command == "holding":
        said = words(client.read_holding_registers(*numbers))
    elif command == "coil":
        answer = client.write_coil(numbers[0], bool(numbers[1]))
        said = "error %d" % answer.exception_code if answer.isError() else "ok"
    elif command == "word":
        answer = client.write_register(*numbers)
        said = "error %d" % answer.exception_code if answer.isError() else "ok"
    else:
        end = time.time() + 60
        while bits()[numbers[0]] != "1" and time.time() < end:
            time.sleep(0.02)
        said = bits()
    print(said, flush=True)
