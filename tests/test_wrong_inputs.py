"""Wrong inputs at the command line: one line that names the setting, before torch loads, with nothing written."""

import pytest
from project import Script

LONG = "x" * 300
# Command, and parts of the message.
WRONG = [
    # sizes of the network
    ("train model.n_layers=0", "model.n_layers must be >= 1"),
    ("train model.n_layers=-3", "model.n_layers must be >= 1"),
    ("train model.n_layers=2.5", "model.n_layers must be a whole number"),
    ("train model.n_layers=10000000", "model.n_layers must be >= 1 and <= 4,096"),
    ("train model.n_hashes=0", "model.n_hashes must be >= 1"),
    ("train model.n_hashes=1000000", "model.n_hashes must be >= 1 and <= 4,096"),
    ("train model.n_hashes=[1]", "model.n_hashes must be a whole number"),
    ("train model.n_hashes=", "model.n_hashes must be a whole number"),
    ("train model.n_hashes=4,8", "model.n_hashes=4,8 has several values: add --multirun"),
    ("train model.n_buckets=3", "model.n_buckets must be 0 or an even number >= 2"),
    ("train model.n_buckets=-2", "model.n_buckets must be >= 0"),
    ("train model.n_buckets=1099511627776", "model.n_buckets must be >= 0 and <= 16,777,216"),
    ("train model.d_model=0", "model.d_model must be >= 1"),
    ("train model.d_head=0", "model.d_head must be >= 1"),
    ("train model.n_heads=0", "model.n_heads must be >= 1"),
    ("train model.d_ff=-1", "model.d_ff must be >= 1"),
    ("train model.chunk_len=0", "model.chunk_len must be >= 1"),
    ("train model.vocab_size=1", "model.vocab_size must be >= data.vocab_size = 256"),
    ("train model.max_seq_len=3", "model.max_seq_len must be >= data.seq_len = 512"),
    ("train model.axial_pos_shape=[3,5]", "model.axial_pos_shape must be two factors"),
    # what the network computes
    ("train model.dropout=1", "model.dropout must be >= 0 and < 1"),
    ("train model.dropout=-0.1", "model.dropout must be >= 0 and < 1"),
    ("train model.dropout=nan", "model.dropout must be >= 0 and < 1"),
    ("train model.attention=[]", "model.attention must be a list of at least one kind"),
    ("train model.attention=lsh", "model.attention must be a list, as [a,b]"),
    ("train model.attention=[lhs]", "model.attention must be one of full, "),
    ("train model.attention=[lsh,4]", "model.attention must be one of full, "),
    ("train model.positions=none", "model.positions must be one of axial, learned, sinusoids"),
    ("train model.window=big", "model.window must be one of chunk, sorted"),
    ("train model.n_streams=1", "model.n_streams must be 2 where reversible is true"),
    ("train model.n_streams=3", "model.n_streams must be one of 1, 2"),
    ("train model.reversible=maybe", "model.reversible must be true or false"),
    ("train model.shared_qk=false", "model.shared_qk must be true for lsh"),
    ("train model.embedding_std=-1", "model.embedding_std must be a positive number"),
    # the training
    ("train trainer.steps_scale=0", "trainer.steps_scale must be > 0 and finite"),
    ("train trainer.steps_scale=nan", "trainer.steps_scale must be > 0 and finite"),
    ("train trainer.steps_scale=1e300", "trainer.steps_scale must be small enough"),
    ("train trainer.max_steps=0", "trainer.max_steps must be >= 1"),
    ("train trainer.val_every=0", "trainer.val_every must be >= 1"),
    ("train trainer.log_every=0", "trainer.log_every must be >= 1"),
    ("train trainer.accumulate=0", "trainer.accumulate must be >= 1"),
    ("train trainer.num_workers=-1", "trainer.num_workers must be >= 0"),
    ("train trainer.num_workers=2000", "trainer.num_workers must be >= 0 and <= 256"),
    ("train trainer.threads=-1", "trainer.threads must be >= 0"),
    ("train trainer.threads=100000", "trainer.threads must be >= 0 and <= 4,096"),
    ("train trainer.devices=0", "trainer.devices must be >= 1"),
    ("train trainer.devices=3", "data.batch_size must be a multiple of trainer.devices"),
    ("train trainer.num_nodes=0", "trainer.num_nodes must be >= 1"),
    ("train trainer.precision=8", "trainer.precision must be one of 32-true"),
    ("train trainer.precision=16-mixed trainer.accelerator=cpu", "trainer.precision must be "),
    ("train trainer.accelerator=tpu", "trainer.accelerator must be one of auto, cpu, gpu"),
    ("train optimizer=sgd", "optimizer must be one of adafactor, adam"),
    ("train optimizer.name=sgdd", "optimizer.name must be one of adam, adafactor"),
    ("train optimizer.lr=0", "optimizer.lr must be > 0 and finite"),
    ("train optimizer.lr=nan", "optimizer.lr must be > 0 and finite"),
    ("train optimizer.lr=abc", "optimizer.lr must be a number"),
    ("train optimizer.schedule=cosin", "optimizer.schedule must be one of constant"),
    ("train optimizer.warmup_steps=-1", "optimizer.warmup_steps must be >= 1"),
    ("train optimizer.weight_decay=-1", "optimizer.weight_decay must be >= 0"),
    ("train optimizer.grad_clip=1", "there is no setting optimizer.grad_clip"),
    ("train seed=-1", "seed must be >= 0 and < 2 ** 63"),
    ("train seed=99999999999999999999", "seed must be >= 0 and < 2 ** 63"),
    ("train seed=abc", "seed must be a whole number"),
    # data
    ("train data.seq_len=0", "data.seq_len must be >= 1"),
    ("train data.seq_len=1000000000", "data.seq_len must be >= 1 and <= 16,777,216"),
    ("train data.batch_size=0", "data.batch_size must be >= 1"),
    ("train data=nothing", "data must be one of duplication, "),
    ("download data=enwik8 data.source=~/enwik8.zip", "holds no enwik8.zip of 36,445,475 bytes"),
    ("download data=enwik8 data.source=/x/epoch=3/a.zip", "data.source=/x/epoch=3/a.zip holds no enwik8.zip"),
    ("download data=enwik8 data.source=/x/数据/a.zip", "data.source=/x/数据/a.zip holds no enwik8.zip"),
    ("download data=enwik8 data.mirror=ftp://x", "data.mirror must be an http:// or https:// address"),
    ("download data=enwik8 data.mirror=https://a:b@host/x", "put `machine host login <name>"),
    ("prepare data=photos data.side=0", "data.side must be one of 8, 16"),
    # names, which stay in their folder
    ("train name=../../escape", "name must be a name without /"),
    ("train name=/abs", "name must be a name without /"),
    (f"train name={LONG}", "200 bytes at most"),
    ("train data.name=../../../esc", "data.name must be a name without /"),
    ("train_list part=../x", "part must be a name without /"),
    ("train_list part=nothing", "list some under runs.nothing in params.yaml"),
    # settings that do not exist, or cannot be left out
    ("train ~model", "no setting can be left out"),
    ("train ++foo.bar=1", "there is no setting foo"),
    ("train +max_steps=3", "did you mean trainer.max_steps?"),
    ("train model", "model is no setting with a value"),
    ("train =3", "a group of settings is chosen by the name of a file"),
    ("train profile=nothing", "profile must be one of cpu, "),
    ("train experiment=nothing", "experiment must be one of duplication, "),
    ("train model=nothing", "model must be one of mixed, reformer, transformer"),
    # Hydra's own
    ("train --foo", "an option must be --multirun"),
    ("train --multirun --cfg=job", "--multirun and --cfg exclude each other"),
    ("train --config-dir=/nonexistent", "'/nonexistent' not found"),
    ("train --config-name=nothing", "Cannot find primary config 'nothing'"),
    ("train +hydra.callbacks.x._target_=os.makedirs", "Hydra's own settings could run code"),
    ("train hydra.run.dir=/tmp/x", "hydra.run.dir must be left out"),
    ("train hydra/launcher=nothing", "hydra/launcher must be one of "),
    # logging, evaluation, generation, benchmarks, plans, lists
    ("train logger.mode=on", "logger.mode must be one of auto, online, offline, disabled"),
    ("train logger.tags=3", "logger.tags must be a list"),
    ("evaluate evaluation.attention=[x]", "evaluation.attention must be full, "),
    ("generate data=wikipedia generation.n_tokens=0", "generation.n_tokens must be >= 1"),
    ("generate data=wikipedia generation.temperature=-1", "generation.temperature must be > 0"),
    ("benchmark benchmark=nothing", "benchmark must be one of memory, "),
    ("benchmark benchmark.lengths=[0]", "benchmark.lengths must be divisors of tokens"),
    ("benchmark benchmark.repeats=0", "benchmark.repeats must be >= 1"),
    ("plan plan.teraflops=nan", "plan.teraflops must be > 0"),
    ("compose text=photos", "text must be one of enwik8, wikipedia"),
    ("compose +runs.text=[foo]", "runs must be named <data>_<attention>_"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "said"), WRONG, ids=[command[:60] for command, _ in WRONG])
def test_a_wrong_input_is_refused_in_one_line_and_writes_nothing(command, said, typed: Script, tmp_path):
    name, *arguments = command.split()
    done = typed(name, f"root={tmp_path}/data", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_flags_may_stand_anywhere(typed: Script, tmp_path):
    said = typed("train", f"root={tmp_path}", "data=nothing", "--multirun", "seed=1,2").stderr
    assert said.startswith("error: data=nothing is no choice")
