"""Suites with one mistake each: what is wrong, where, what is said, and a part of the hint or the reason."""

from __future__ import annotations

HEAD = """name: demo
question: Which one?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
"""
FIRST = HEAD.count("\n") + 1  # the line that follows HEAD

One = tuple[str, int, str, str | None]

# what follows HEAD, column, message, and a part of the hint or the reason
IN_BASE: list[One] = [
    ("  trian: {}", 3, "unknown key in base: 'trian'", "did you mean 'train'"),
    ("  learning_rate: 1", 3, "unknown key in base: 'learning_rate'", "write train: {learning_rate: …}"),
    ("  lora_alpha: 1", 3, "unknown key in base: 'lora_alpha'", "write lora: {lora_alpha: …}"),
    ("  shape: tiny", 3, "unknown key in base: 'shape'", "write model: {shape: …}"),
    ("  replicates: 3", 3, "unknown key in base: 'replicates'", "top of the file"),
    ("  seed: 3", 3, "base cannot set a seed", "replicates"),
    ("  train: [1]", 10, "base.train must be a mapping, not a list", "train: {…}"),
    ("  train:", 3, "base.train must be a mapping, not empty", "train: {…}"),
    ("  train: {learning_rat: 1}", 11, "SFTConfig has no field 'learning_rat'", "did you mean 'learning_rate'?"),
    ("  train: {max_seq_length: 9}", 11, "SFTConfig has no field 'max_seq_length'", "it is called max_length now"),
    ("  train: {tokenizer: x}", 11, "SFTConfig has no field 'tokenizer'", "the harness makes it from `model`"),
    ("  train: {evaluation_strategy: no}", 11, "SFTConfig has no field 'evaluation_strategy'", "eval_strategy"),
    ("  train: {no_cuda: true}", 11, "SFTConfig has no field 'no_cuda'", "use_cpu"),
    ("  train: {max_prompt_length: 9}", 11, "SFTConfig has no field 'max_prompt_length'", "max_length"),
    ("  train: {warmup_ratio: 0.1}", 11, "SFTConfig has no field 'warmup_ratio'", "a share of all steps"),
    ("  train: {beta: 0.1}", 11, "SFTConfig has no field 'beta'", "it is a field of dpo and orpo"),
    ("  train: {r: 8}", 11, "SFTConfig has no field 'r'", "a field of `lora`"),
    ("  train: {peft_config: {}}", 11, "SFTConfig has no field 'peft_config'", "`lora` beside `train`"),
    ("  train: {max_steps: 1e3}", 22, "train.max_steps wants a whole number, not the number 1000.0", "write 1000:"),
    ("  train: {max_steps: '10'}", 22, 'train.max_steps wants a whole number, not the text "10"', "without quotes"),
    ("  train: {max_steps: 1_000}", 22, 'train.max_steps wants a whole number, not the text "1_000"', "write 1000"),
    ("  train: {max_steps: true}", 22, "train.max_steps wants a whole number, not true", None),
    ("  train: {max_steps: }", 11, "train.max_steps wants a whole number, not null", "leave the key out"),
    ("  train: {bf16: yes}", 17, 'train.bf16 wants true or false, or null, not the text "yes"', "write true"),
    ("  train: {packing: 1}", 20, "train.packing wants true or false, not the number 1", None),
    ("  train: {optim: adamw}", 18, 'train.optim does not know "adamw"', "one of adamw_torch, adamw_8bit"),
    ("  train: {output_dir: out}", 11, "train.output_dir does not belong in a suite", "run folder"),
    ("  train: {seed: 1}", 11, "train.seed does not belong in a suite", "replicates"),
    ("  train: {hub_token: hf_x}", 11, "train.hub_token does not belong in a suite", "HF_TOKEN"),
    ("  train: {push_to_hub: false}", 11, "train.push_to_hub does not belong in a suite", "this machine"),
    ("  train: {report_to: none}", 11, "train.report_to does not belong in a suite", "records what TRL logs"),
    (
        "  train: {save_total_limit: 5}",
        11,
        "train.save_total_limit does not belong in a suite",
        "`score: {every: checkpoint}` takes train.save_steps",
    ),
    (
        "  train: {skip_memory_metrics: false}",
        11,
        "train.skip_memory_metrics does not belong in a suite",
        "the harness measures memory itself",
    ),
    (
        "  train: {resume_from_checkpoint: x}",
        11,
        "train.resume_from_checkpoint does not belong in a suite",
        "run the suite again",
    ),
    ("  train: {max_steps.x: 1}", 11, "train.max_steps holds no mapping that train.max_steps.x could lead into", None),
    ("  lora: 8", 9, "lora must be a mapping, not '8'", "lora: {r: 8}, or null"),
    ("  lora: {rank: 8}", 10, "LoraConfig has no field 'rank'", "PEFT calls it r"),
    ("  lora: {lora_alfa: 8}", 10, "LoraConfig has no field 'lora_alfa'", "did you mean 'lora_alpha'"),
    ("  lora: {r: 8.5}", 13, "lora.r wants a whole number, not the number 8.5", None),
    (
        "  lora: {target_modules: [1]}",
        26,
        "lora.target_modules wants a list of text; entry 1 is the number 1",
        "quote it",
    ),
    ("  lora: {init_lora_weights: pisa}", 29, 'lora.init_lora_weights does not know "pisa"', "did you mean 'pissa'"),
    ("  lora: {task_type: CAUSAL_LM}", 10, "lora.task_type does not belong in a suite", "causal language models"),
    ("  init: warm", 9, "init must be a mapping, not 'warm'", "init: {stage: NAME}"),
    ("  init: {stage: warm}", 17, "unknown stage 'warm'", "no `stages`"),
    ("  checkpoint: kep", 15, "unknown checkpoint 'kep'", "did you mean 'keep'"),
    ("  measure: {warmup: 3}", 13, "unknown field of measure: 'warmup'", "did you mean 'warmup_steps'"),
    (
        "  measure: {warmup_steps: -1}",
        27,
        "measure.warmup_steps should be greater than or equal to 0, not the number -1",
        None,
    ),
    (
        "  limits: {timeout: soon}",
        21,
        "limits.timeout: 'soon' is not a duration; write seconds, or 90s, 10m, 2h, 1h30m",
        None,
    ),
    (
        "  limits: {host_memory: 0GiB}",
        25,
        "limits.host_memory: a limit must be more than nothing, not '0GiB'",
        None,
    ),
    (
        "  limits: {host_memory: 8}",
        25,
        "limits.host_memory: 8 is not a size; write a number and its unit, e.g. 8GiB or 500 MB",
        None,
    ),
    ("  limits: {retries: 2.5}", 21, "limits.retries wants a whole number, not the number 2.5", None),
    (
        "  measure: {device_hz: 5}",
        24,
        "measure.device_hz should be greater than or equal to 10, not the number 5",
        None,
    ),
    ("  measure: {device_hz: fast}", 24, 'measure.device_hz wants a number, not the text "fast"', None),
    (
        "  limits: {diverged: stopp}",
        22,
        "limits.diverged must be 'stop' or 'report', not the text \"stopp\"",
        "did you mean 'stop'",
    ),
    ("  limits: {max_loss: 0}", 22, "limits.max_loss should be greater than 0, not the number 0", None),
    ("  limits: {max_grad_norm: x}", 27, 'limits.max_grad_norm wants a number, or null, not the text "x"', None),
    ("  limits: {max_los: 3}", 12, "unknown field of limits: 'max_los'", "did you mean 'max_loss'"),
    ("  reference: shred", 14, "unknown reference 'shred'", "did you mean 'shared'"),
    ("  model.sed: 3", 3, "unknown field of model: 'sed'", "did you mean 'seed'"),
    ("  model.seed: x", 15, 'model.seed wants a whole number, not the text "x"', None),
    ("  model: {hub: a/b}", 3, "duplicate key 'model'", "line 5"),
    ("  train: {max_steps: 1}\n  train.max_steps: 2", 3, "train.max_steps is set twice", "line 7"),
]

# the same, at the top of the file
AT_TOP: list[One] = [
    ("matix: {}", 1, "unknown key 'matix'", "did you mean 'matrix'"),
    ("method: sft", 1, "unknown key 'method'", "belongs in `base`"),
    ("seeds: [0, 1]", 1, "unknown key 'seeds'", "write replicates: {seeds: …}"),
    ("tasks: [arithmetic_mc]", 1, "unknown key 'tasks'", "write score: {tasks: …}"),
    ("maximise: mfu", 1, "unknown key 'maximise'", "write decide: {maximise: …}"),
    ("learning_rate: 1", 1, "unknown key 'learning_rate'", "write base: {train: {learning_rate: …}}"),
    ("matrix: [a]", 9, "matrix must be a mapping, not a list", "matrix: {"),
    ("matrix: {train.packing: []}", 10, "the axis 'train.packing' has no levels", "remove it"),
    ("matrix: {recipe: {}}", 10, "the axis 'recipe' has no levels", "remove it"),
    ("matrix: {recipe: }", 10, "the axis 'recipe' has no levels", "remove it"),
    (
        "matrix: {train.packing: true}",
        25,
        "the levels of 'train.packing' must be a list or a mapping, not 'true'",
        "[true]",
    ),
    ("matrix: {recipe: [a, b]}", 10, "'recipe' is no field path, so its levels must be named", "name its levels"),
    (
        "matrix: {methods: [sft]}",
        10,
        "'methods' is no field path, so its levels must be named",
        "did you mean 'method'",
    ),
    ("matrix: {trian.packing: [true]}", 10, "unknown field path 'trian.packing'", "did you mean 'train.packing'"),
    ("matrix: {train.pakcing: [true, false]}", 10, "SFTConfig has no field 'pakcing'", "did you mean 'packing'"),
    ("matrix: {train.packing: [true, 3]}", 32, "train.packing wants true or false, not the number 3", None),
    ("matrix: {train.packing: [true, true]}", 32, "the axis 'train.packing' has the level true twice", "line 7"),
    ("matrix: {train: {a: {}}}", 10, "'train' is not one field that an axis could set", "train.…"),
    ("matrix: {seed: [1, 2]}", 10, "seeds are not an axis", "replicates"),
    ("matrix: {method: [sft, stf]}", 24, "unknown method 'stf'", "did you mean 'sft'"),
    ("matrix: {method: [3]}", 19, "method wants a name, not the number 3", None),
    ("matrix: {my axis: {a: {}}}", 10, "'my axis' cannot name an axis", "use letters"),
    ("matrix: {recipe: {a b: {}}}", 19, "'a b' cannot name a level of 'recipe'", "names of trials"),
    ("matrix: {recipe: {a: 3}}", 22, "level 'a' must be a mapping, not '3'", "{} for the base as it is"),
    ("matrix: {recipe: {a: {sed: 3}}}", 23, "unknown key in level 'a': 'sed'", None),
    (
        "matrix: {recipe: {a: {method: dpo, train.packing: true}}}",
        36,
        "dpo does not take train.packing: true",
        "has no packing",
    ),
    (
        "matrix: {recipe: {a: {method: dpo, train: {max_step: 1}}}}",
        44,
        "DPOConfig has no field 'max_step'",
        "'max_steps'",
    ),
    ("matrix: {lora: {r: 8}}", 20, "lora must be a mapping, not '8'", "lora: {r: 8}"),
    ("stages: [a]", 9, "stages must be a mapping, not a list", None),
    ("stages: {a: 3}", 13, "stage 'a' must be a mapping, not '3'", "a: {method: sft}"),
    ("stages: {a b: {}}", 10, "'a b' cannot name a stage", None),
    (
        "stages: {a: {seed: -1}}",
        20,
        "the seed of stage 'a' should be greater than or equal to 0, not the number -1",
        None,
    ),
    (
        "stages: {a: {method: dpo, train: {packing: true}}}",
        35,
        "dpo does not take train.packing: true",
        "has no packing",
    ),
    ("stages: {a: {init: {stage: b}}}", 28, "unknown stage 'b'", "known: a"),
    ("stages: {a: {init: {stage: a}}}", 28, "stages start from each other: a → a", "model alone"),
    (
        "stages: {a: {init: {stage: b}}, b: {init.stage: a}}",
        28,
        "stages start from each other: a → b → a",
        "model alone",
    ),
    ("exclude: {method: sft}", 10, "exclude must be a list, not a mapping", "exclude: [{"),
    ("exclude: [sft]", 11, "exclude must be a mapping, not 'sft'", None),
    ("exclude: [{}]", 11, "exclude chooses every cell", "at least one"),
    ("exclude: [{metod: sft}]", 12, "unknown axis or field path 'metod'", "did you mean 'method'"),
    ("exclude: [{train.packing: []}]", 27, "train.packing lists no value", None),
    (
        "exclude: [{train.packin: true}]",
        12,
        "none of SFTConfig, DPOConfig, ORPOConfig has a field 'packin'",
        "'packing'",
    ),
    ("baseline: [a]", 11, "baseline must be a mapping, not a list", None),
    ("include: {method: sft}", 10, "include must be a list, not a mapping", None),
    ("include: [3]", 11, "a cell of include must be a mapping, not '3'", None),
    ("include: [{name: a b, train.max_steps: 3}]", 18, "'a b' cannot name a cell", None),
    ("include: [{foo: 3}]", 12, "unknown key in a cell of include: 'foo'", None),
    ("replicates: [1]", 13, "replicates must be a mapping or a number, not a list", "{seeds: [0, 1, 2]}"),
    ("replicates: 0", 13, "replicates must be from 1 to 10,000, not 0", None),
    ("replicates: true", 13, "replicates must be a mapping, not 'true'", None),
    ("replicates: {seeds: []}", 21, "replicates.seeds must not be empty", None),
    ("replicates: {seeds: [1, 2, 1]}", 28, "the seed 1 is there 2 times", "another seed"),
    ("replicates: {seeds: [-1]}", 22, "a seed must be from 0 to 4294967295, not -1", None),
    ("replicates: {}", 13, "replicates needs seeds, or until", "{seeds: [0, 1, 2]}"),
    ("replicates: {seeds: [0, 1], max: 5}", 29, "max goes with until", "until: {metric"),
    ("replicates: {until: {metric: mfu}}", 21, "replicates.until needs 'ci'", None),
    ("replicates: {until: {metric: mfu, ci: some}}", 39, "replicates.until.ci 'some'", None),
    ("replicates: {until: {metric: mfu, ci: 0%}}", 39, "replicates.until.ci '0%' must be above 0", None),
    ("replicates: {until: {metric: mfu, ci: 2MiB}}", 39, "mfu is in ratio, not in bytes", "2%"),
    ("replicates: {until: {metric: tokens_per_secnd, ci: 2%}}", 30, "unknown metric 'tokens_per_secnd'", "tokens_per"),
    (
        "replicates: {seeds: [0, 1, 2], until: {metric: mfu, ci: 2%}, max: 2}",
        67,
        "max is 2, and there are 3 seeds already",
        None,
    ),
    ("replicates: {seed: [1]}", 14, "unknown key in replicates: 'seed'", "did you mean 'seeds'"),
    ("score: {task: [a]}", 9, "unknown key in score: 'task'", "did you mean 'tasks'"),
    ("score: {tasks: a}", 16, 'score.tasks wants a list, not the text "a"', "write a list: [a]"),
    ("score: {tasks: [a, a]}", 20, "the task 'a' is there 2 times", None),
    ("score: {tasks: [a], floor: yes}", 28, 'score.floor wants true or false, not the text "yes"', "write true"),
    (
        "score: {tasks: [a], backend: vlm}",
        30,
        "score.backend must be 'auto', 'hf' or 'vllm', not the text \"vlm\"",
        "'vllm'",
    ),
    *(
        (
            f"score: {{tasks: [a], every: {every}}}",
            28,
            f"score.every must be end, checkpoint or a number of optimizer steps above 0, not {said}",
            None,
        )
        for every, said in (("0", "the number 0"), ("epoch", 'the text "epoch"'), ("true", "true"), ("null", "null"))
    ),
    *(
        (
            f"score: {{tasks: [a], device: {device}}}",
            29,
            f"score.device must be auto, follow or the number of a device, from 0, not {said}",
            None,
        )
        for device, said in [
            ("-1", "the number -1"),
            ("gpu", 'the text "gpu"'),
            ("true", "true"),
            ("1.0", "the number 1.0"),
        ]
    ),
    ("score: {tasks: [a], limit: 0}", 28, "score.limit should be greater than or equal to 1, not the number 0", None),
    ("decide: {}", 9, "decide needs exactly one of maximise, minimise", None),
    ("decide: {maximize: final_loss}", 10, "unknown key in decide: 'maximize'", "it is spelled maximise"),
    (
        "decide: {maximise: tokens_per_secnd}",
        20,
        "unknown metric 'tokens_per_secnd'",
        "did you mean 'tokens_per_second'",
    ),
    ("decide: {maximise: score.a.acc}", 20, "score.a.acc is never measured: this suite has no `score`", "tasks: [a]"),
    ("decide: {maximise: score}", 20, "unknown metric 'score'", "score.<task>.<metric>"),
    (
        "decide: {minimise: final_loss, keep: {peak_reserved: 3}}",
        54,
        "the bound of peak_reserved must be text, not the number 3",
        '"<= 3"',
    ),
    (
        "decide: {minimise: final_loss, keep: {final_loss: '3'}}",
        51,
        "keep.final_loss: '3' is not a bound; write an operator",
        None,
    ),
    (
        "decide: {minimise: final_loss, keep: {final_loss: '< 3 GiB'}}",
        51,
        "final_loss is in nats, not in bytes",
        "< <number>",
    ),
    (
        "decide: {minimise: final_loss, keep: {final_los: '< 3'}}",
        39,
        "unknown metric 'final_los'",
        "did you mean 'final_loss'",
    ),
    ("margins: 3%", 10, "margins must be a mapping, not '3%'", "margins: {tokens_per_second: 3%"),
    ("margins: {final_los: 1%}", 11, "unknown metric 'final_los'", "did you mean 'final_loss'"),
    ("margins: {score.a.acc: 1%}", 11, "score.a.acc is never measured: this suite has no `score`", "tasks: [a]"),
    ("margins: {real_tokens: 1%}", 11, "real_tokens has no margin", "no verdict is given on it"),
    ("margins: {mfu: [1%]}", 16, "the margin of mfu must be a share or an amount, not a list", "2% + 64MiB"),
    ("margins: {mfu: true}", 16, "the margin of mfu must be a share or an amount, not true", "2% + 64MiB"),
    ("margins: {mfu: 1% + 2%}", 16, "margins.mfu: '1% + 2%' names two shares", None),
    ("margins: {mfu: -1}", 16, "margins.mfu: -1 must be above 0", None),
    ("margins: {energy: 5ms}", 19, "margins.energy: '5ms' is in s, and energy in J", None),
    ("margins: {peak_reserved: 64}", 26, "margins.peak_reserved: 64 could be bytes or gigabytes", None),
]

# instead of the model's line, message, and a part of the hint
MODEL: list[tuple[str, str, str | None]] = [
    ("  model: tiny", "model must be a mapping, not 'tiny'", "model: {shape: tiny}"),
    ("  model: {}", "model needs exactly one of shape, hub, path; it has none of them", "model: {shape: tiny}"),
    (
        "  model: {shpae: tiny}",
        "model needs exactly one of shape, hub, path; it has none of them",
        "did you mean 'shape'",
    ),
    (
        "  model: {shape: tiny, hub: a/b}",
        "model needs exactly one of shape, hub, path; it has shape and hub",
        "keep one",
    ),
    ("  model: {shape: tini}", "unknown shape 'tini'", "did you mean 'tiny'"),
    (
        "  model: {shape: tiny, attn_implementation: sdap}",
        "unknown attention kernel 'sdap'",
        "did you mean 'sdpa'",
    ),
    ("  model: {shape: tiny, revision: a}", "unknown key in model: 'revision'", None),
    ("  model: {hub: a/b, revision: 12e5}", "model.revision wants text, or null, not the number 1200000.0", "quote it"),
    (
        "  model: {shape: tiny, dtype: bf16}",
        "model.dtype must be 'float32', 'bfloat16' or 'float16', not the text \"bf16\"",
        "bfloat16",
    ),
]

DATA: list[tuple[str, str, str | None]] = [
    ("  data: arithmetic", "data must be a mapping, not 'arithmetic'", "data: {source: arithmetic}"),
    ("  data: {source: pydocs}", "unknown source 'pydocs'", "did you mean 'pydoc'"),
    ("  data: {sorce: pydoc}", "data needs exactly one of source, hub, path; it has none of them", "'source'"),
    (
        "  data: {source: arithmetic, rows: 0}",
        "data.rows should be greater than or equal to 1, not the number 0",
        None,
    ),
    ("  data: {source: arithmetic, colums: {}}", "unknown key in data: 'colums'", None),
    ("  data: {source: arithmetic, options: {nope: 1}}", "unknown option of 'arithmetic': 'nope'", None),
]


def each() -> list[str]:
    """All of these suites, whole."""
    found = [f"{HEAD}{text}\n" for text, *_ in (*IN_BASE, *AT_TOP)]
    found += [HEAD.replace("  model: {shape: tiny}", line) for line, *_ in MODEL]
    return found + [HEAD.replace("  data: {source: arithmetic}", line) for line, *_ in DATA]
