"""A real SLURM of one node on this machine, in a folder of its own: munge, controller and node, as root, no systemd."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel")
CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MinJobAge=3600
KillWait=5
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerParameters=sched_interval=1
"""


def missing() -> str:
    """Why there can be no SLURM here; empty where there can."""
    if os.geteuid():
        return "a SLURM of one's own needs root"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    return f"{', '.join(absent)} not installed (apt-get install slurm-wlm munge)" if absent else ""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def one_node_slurm(folder: Path, cpus: int = 2):
    """Inside, the environment that commands of SLURM need. `folder`: a short path, for its socket's sake."""
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o400)
    folder.chmod(0o755)
    (folder / "slurm.conf").write_text(CONF.format(host=host, cpus=cpus, folder=folder, ports=free_ports(2)))
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"),
                   "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}  # fmt: skip
    daemons = []

    def start(*words: str) -> None:
        log = open(folder / f"{words[0]}.out", "w")
        daemons.append(subprocess.Popen(words, env=environment, stdout=log, stderr=subprocess.STDOUT))
        log.close()

    try:
        places = {"key-file": "key", "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
        given = [f"--{name}={folder}/{place}" for name, place in {**places, "seed-file": "seed"}.items()]
        start("munged", "--foreground", "--force", *given)
        wait_until(lambda: (folder / "munge.socket").exists(), "munged")
        start("slurmctld", "-D", "-i")
        start("slurmd", "-D", "-N", host)
        wait_until(lambda: "State=IDLE" in ask(environment, "scontrol", "show", "node"), "the node")
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def ask(environment, *words: str) -> str:
    return subprocess.run(words, env=environment, capture_output=True, text=True).stdout


def wait_until(true, what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} never came to that"
        time.sleep(0.1)
