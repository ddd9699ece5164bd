#!/usr/bin/env bash
# Sends small sweeps through a Slurm cluster of one node: made for it in a temporary folder, and gone at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/sbin:/sbin"

present() { command -v munged slurmctld slurmd sbatch >/dev/null; }
present || ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ] || apt-get install -yqq slurm-wlm munge >/dev/null || true
present || { echo "error: needs Slurm and munge: apt-get update && apt-get install slurm-wlm munge" >&2; exit 1; }
python -c 'import submitit' 2>/dev/null || { echo "error: needs an extra: pip install -e '.[slurm]'" >&2; exit 1; }

folder=$(mktemp -d)
pids=()
end() {
  [ "$?" = 0 ] || tail -n 5 -v "$folder"/*.log "$folder"/sweep*/.submitit/*/*.err 2>/dev/null || true
  scancel --me 2>/dev/null || true
  for _ in {1..60}; do [ "$(squeue -h 2>/dev/null)" ] || break; sleep 0.5; done # slurmd outlives its jobs
  ((${#pids[@]} == 0)) || { kill "${pids[@]}" 2>/dev/null; wait "${pids[@]}" 2>/dev/null; } || true
  rm -rf "$folder"
}
trap end EXIT

# The cluster, as whoever runs this
mkdir "$folder"/{state,spool}
chmod 711 "$folder"
head -c 1024 /dev/urandom >"$folder/munge.key"
chmod 400 "$folder/munge.key"
node=$(hostname -s)
cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
NodeName=$node NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
munged --foreground --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
  --seed-file="$folder/munged.seed" >"$folder/munged.log" 2>&1 & pids+=($!)
for _ in {1..50}; do [ -S "$folder/munge.socket" ] && break; sleep 0.1; done
slurmctld -D >"$folder/slurmctld.log" 2>&1 & pids+=($!)
slurmd -D >"$folder/slurmd.log" 2>&1 & pids+=($!)
for _ in {1..60}; do [ "$(sinfo -ho %t 2>/dev/null)" = idle ] && break; sleep 0.5; done
sinfo

# What submitit asks for the state of its jobs needs a database; for minutes the controller knows too
mkdir "$folder/bin"
printf '#!/bin/sh\necho "JobID|State|NodeList"\nsqueue -ht all -o "%%i|%%T|%%N"\n' >"$folder/bin/sacct"
chmod +x "$folder/bin/sacct"
export PATH="$folder/bin:$PATH" WANDB_MODE=disabled

sweep() {
  python pipelines/train.py --multirun hydra/launcher=slurm hydra.launcher.{gpus_per_node=null,cpus_per_task=1} \
    trainer.accelerator=cpu root="$folder/data" hydra.sweep.dir="$folder/sweep_$1" \
    data=duplication data.{seq_len=16,batch_size=2,eval_sequences=4} trainer.{max_steps=3,val_every=2} \
    model.{n_layers=1,d_model=12,d_ff=20,n_heads=2,d_head=6,chunk_len=4} "${@:2}"
}
holds() { # table, status, number of rows
  [ "$(grep -c "$2" "$folder/sweep_$1/table.csv")" = "$3" ] || { echo "error: not $3 rows '$2' in sweep $1" >&2; exit 1; }
}
echo "--- two runs, a job each"
sweep two model.n_hashes=1,2
holds two trained 2
echo "--- the same again: nothing to train; and a run on two tasks, as on two machines"
sweep two model.n_hashes=1,2
holds two "finished before" 2
sweep ddp model.n_hashes=3 trainer.devices=2 trainer.strategy=ddp
holds ddp trained 1
echo "--- a job is killed: the other is waited for (which Slurm is asked at growing intervals)"
sweep killed model.n_hashes=4,5 || echo "exit status $?" &
for _ in {1..150}; do [[ "$(squeue -ht R -o %i)" == *_0* ]] && break; sleep 0.2; done
scancel "$(squeue -ht R -o %i | grep _0)"
wait $!
holds killed trained 1
holds killed "not finished" 1
echo "slurm: ok"
