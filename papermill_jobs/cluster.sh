#!/bin/bash
#SBATCH --job-name={{ name }}
#SBATCH --output={{ folder }}/%a.log
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@{{ warning_seconds }}
#SBATCH --{{ "requeue" if requeue else "no-requeue" }}
#SBATCH --nodes={{ nodes }}
{% if nodes * processes_per_node > 1 %}
#SBATCH --ntasks-per-node={{ processes_per_node }}
{% endif %}
#SBATCH --time={{ time }}
{% if gpus_per_node %}
#SBATCH --gpus-per-node={{ gpus_per_node }}
{% endif %}
{% if cpus_per_task %}
#SBATCH --cpus-per-task={{ cpus_per_task }}
{% endif %}
{% if memory %}
#SBATCH --mem={{ memory }}
{% endif %}
{% if partition %}
#SBATCH --partition={{ partition }}
{% endif %}
{% if account %}
#SBATCH --account={{ account }}
{% endif %}
{% for option in options %}
#SBATCH {{ option }}
{% endfor %}

cd {{ root | quoted }} || exit 1
{% for module in modules %}
module load {{ module }}
{% endfor %}
{% for line in setup %}
{{ line }}
{% endfor %}
this=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
restarts=$((${SLURM_RESTART_COUNT:-0} + ${LAB_RESTARTS:-0}))
echo "task $SLURM_ARRAY_TASK_ID of array $SLURM_ARRAY_JOB_ID on $(hostname), started $restarts times before"

# A warning (USR1) and an end that comes unannounced (TERM) are passed on as a warning: the run saves, then ends.
warned=
trap 'warned=yes; kill -USR1 "$run" 2>/dev/null' USR1 TERM
{% if nodes * processes_per_node > 1 %}
# Several processes share this run, and meet at a port of the first node; another array task there has another port.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
srun --kill-on-bad-exit=0 bash -c 'export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS
  export LOCAL_WORLD_SIZE=$SLURM_NTASKS_PER_NODE; exec "$@"' rank \
  {{ python | quoted }} -m lab task {{ folder | quoted }} "$SLURM_ARRAY_TASK_ID" &
{% else %}
{{ python | quoted }} -m lab task {{ folder | quoted }} "$SLURM_ARRAY_TASK_ID" &
{% endif %}
run=$!
[ -n "$warned" ] && kill -USR1 "$run"  # it came before there was anybody to tell
while kill -0 "$run" 2>/dev/null; do wait "$run"; done  # a warning ends a wait, too
wait "$run"
code=$?

# The run says by which signal it was asked to stop; anything else is its end, good or bad.
if [ "$code" -ne {{ warned }} ] && [ "$code" -ne {{ terminated }} ]; then exit "$code"; fi
# A job that SLURM is ending already goes on only if that was for its time or its place; a person who cancels means it.
about=$(scontrol show job "$this")
if [[ $about != *JobState=RUNNING* ]] && ! tail -n 5 {{ folder | quoted }}/"$SLURM_ARRAY_TASK_ID.log" |
  grep -qE 'CANCELLED AT .* DUE TO (PREEMPTION|TIME LIMIT)'; then exit "$code"; fi
if [ "$restarts" -ge {{ most_restarts }} ]; then
  echo "error: warned for the last time, after $restarts restarts; submit it again, with more time"
  exit 1
fi
# Where the cluster puts it back by itself as well, one of the two is refused: there is one job.
if [[ $about == *Requeue=1* ]]; then
  exec scontrol requeue "$this"
fi
export LAB_RESTARTS=$((restarts + 1))
exec sbatch --array="$SLURM_ARRAY_TASK_ID" {{ script | quoted }}
