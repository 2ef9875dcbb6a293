# A terminal emulator for tests: runs a recorder on a pty of its own, resizes it, types, and reports what it saw.
# usage: terminal.py COMMAND…; prints {"bytes": hex, "before": [...], "after": [...], "status": n}
import fcntl, json, os, pty, select, signal, struct, sys, termios, time

master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
before = termios.tcgetattr(slave)[:4]
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b''
steps = [
    (b'READY', lambda: (fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 123, 0, 0)), os.kill(pid, signal.SIGWINCH))),
    (b'WINCH', lambda: os.write(master, b'typed\r')),
]
status = None
end = time.time() + 20
while time.time() < end:
    ready, _, _ = select.select([master], [], [], 0.1)
    if ready:
        try:
            seen += os.read(master, 65536)
        except OSError:
            break
    while steps and steps[0][0] in seen:
        steps.pop(0)[1]()
    if status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
    elif not ready:
        break
if status is None:
    os.kill(pid, signal.SIGKILL)
print(json.dumps({'bytes': seen.hex(), 'before': before, 'after': termios.tcgetattr(slave)[:4], 'status': status}))
