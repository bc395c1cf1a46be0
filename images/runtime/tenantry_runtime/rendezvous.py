"""How the hosts of one training job meet before the library's own protocol starts.

Each host tells the first one whether it has rows, how wide they are and whether it has validation data;
the first answers all of them with the same roll and with how to reach the tracker. Without this a host
with an empty shard would leave the others waiting for ever. One JSON line each way over TCP, bounded in
size and in time; it authenticates nobody, because the job's network holds only the job's hosts.
"""

import json
import socket
import time

from .failure import AlgorithmError

PORT = 9098
MAX_LINE = 1 << 20


def _read_line(connection):
    data = b""
    while not data.endswith(b"\n"):
        chunk = connection.recv(65536)
        if not chunk or len(data) > MAX_LINE:
            raise AlgorithmError("a host of the training cluster hung up before it had said what it has")
        data += chunk
    return json.loads(data)


def wait_for_names(hosts, seconds):
    """Returns when every host name resolves; a cluster's names may appear a little after its hosts."""
    deadline = time.monotonic() + seconds
    for host in hosts:
        while True:
            try:
                socket.getaddrinfo(host, None, family=socket.AF_INET)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise AlgorithmError(f"the host name {host} does not resolve: {error}") from error
                time.sleep(0.2)


def lead(hosts, own_report, answer, seconds, port=PORT):
    """On the first host: collects a report of every host, then sends all of them `answer(reports)`."""
    reports, waiting = {hosts[0]: own_report}, []
    deadline = time.monotonic() + seconds
    with socket.create_server((hosts[0], port), family=socket.AF_INET, backlog=len(hosts)) as server:
        while len(reports) < len(hosts):
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                connection, _ = server.accept()
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                report = _read_line(connection)
            except (socket.timeout, ValueError, OSError) as error:
                missing = sorted(set(hosts) - set(reports))
                raise AlgorithmError(f"hosts {missing} did not join the training cluster: {error}") from error
            reports[report["host"]] = report
            waiting.append(connection)
        result = answer(reports)
        for connection in waiting:
            with connection:
                connection.sendall(json.dumps(result).encode() + b"\n")
    return result


def join(leader, report, seconds, port=PORT):
    """On the other hosts: reports to the first one and returns its answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection = socket.create_connection((leader, port), timeout=5)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise AlgorithmError(f"cannot reach {leader}, the first host of the training cluster: {error}") \
                    from error
            time.sleep(0.2)
    with connection:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        connection.sendall(json.dumps(report).encode() + b"\n")
        return _read_line(connection)
