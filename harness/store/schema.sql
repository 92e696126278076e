-- The store's schema, version 2: a public interface. docs/store.md explains it with examples.
--
-- Tables hold what run folders say, nothing else; everything derived is a view. The key of a trial is
-- (suite, trial_id), of an attempt (suite, trial_id, attempt). There are no primary keys: duckdb's indexes slow bulk
-- inserts down many times, and the ingest replaces a trial's rows as a whole. Times are ISO 8601 UTC text,
-- durations seconds, memory bytes. A name never changes its meaning; a change of meaning changes the version.

CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
COMMENT ON TABLE meta IS 'About this file.';
COMMENT ON COLUMN meta.key IS 'schema_version.';
COMMENT ON COLUMN meta.value IS 'The value, as text.';
INSERT INTO meta VALUES ('schema_version', '2');

CREATE TABLE trials (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    name VARCHAR,
    cell_id VARCHAR,
    cell_name VARCHAR,
    kind VARCHAR,
    method VARCHAR,
    levels MAP(VARCHAR, VARCHAR),
    seed BIGINT,
    starts_from VARCHAR,
    suite_file VARCHAR,
    question VARCHAR,
    folder VARCHAR NOT NULL,
    spec JSON
);
COMMENT ON TABLE trials IS 'One row per trial (a cell with one seed), from spec.json.';
COMMENT ON COLUMN trials.suite IS 'Name of the suite.';
COMMENT ON COLUMN trials.trial_id IS 'Id of the trial: a hash of what decides its result, and its seed.';
COMMENT ON COLUMN trials.name IS 'Readable name of the trial.';
COMMENT ON COLUMN trials.cell_id IS 'Id of its cell: the same for all seeds.';
COMMENT ON COLUMN trials.cell_name IS 'Readable name of its cell.';
COMMENT ON COLUMN trials.kind IS 'cell (of the matrix), stage (a shared training), or floor (the untrained model).';
COMMENT ON COLUMN trials.method IS 'Training method; NULL for a floor.';
COMMENT ON COLUMN trials.levels IS 'Level of each axis: levels[''method''].';
COMMENT ON COLUMN trials.seed IS 'Seed of this replicate.';
COMMENT ON COLUMN trials.starts_from IS 'trial_id of the stage whose checkpoint it starts from; NULL without a stage.';
COMMENT ON COLUMN trials.suite_file IS 'The suite file it was planned from.';
COMMENT ON COLUMN trials.question IS 'The suite''s question when it was planned.';
COMMENT ON COLUMN trials.folder IS 'Its run folder, relative to the folder of this database.';
COMMENT ON COLUMN trials.spec IS 'spec.json whole: spec->>''$.train.learning_rate''.';

CREATE TABLE attempts (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    outcome VARCHAR,
    phase VARCHAR,
    cause VARCHAR,
    started_at VARCHAR,
    ended_at VARCHAR,
    duration_s DOUBLE,
    environment VARCHAR,
    weights_hash VARCHAR,
    data_fingerprint VARCHAR,
    active JSON,
    facts JSON,
    disturbed VARCHAR[],
    breakdown JSON,
    compute JSON
);
COMMENT ON TABLE attempts IS 'One row per execution of a trial, from outcome.json and the events.';
COMMENT ON COLUMN attempts.suite IS 'Name of the suite.';
COMMENT ON COLUMN attempts.trial_id IS 'The trial.';
COMMENT ON COLUMN attempts.attempt IS 'Number of the attempt, from 1.';
COMMENT ON COLUMN attempts.outcome IS
    'ok, oom, diverged, timeout, crashed, interrupted, skipped; NULL while it runs or when whoever ran it was killed.';
COMMENT ON COLUMN attempts.phase IS 'Phase in which it ended.';
COMMENT ON COLUMN attempts.cause IS 'Why it ended so, in one line.';
COMMENT ON COLUMN attempts.started_at IS 'Start, ISO 8601 UTC.';
COMMENT ON COLUMN attempts.ended_at IS 'End, ISO 8601 UTC.';
COMMENT ON COLUMN attempts.duration_s IS 'Wall seconds of the whole attempt.';
COMMENT ON COLUMN attempts.environment IS 'Hash of the environment it ran in; see environments.';
COMMENT ON COLUMN attempts.weights_hash IS 'Hash of the weights it left behind.';
COMMENT ON COLUMN attempts.data_fingerprint IS 'Hash of the rows it trained on.';
COMMENT ON COLUMN attempts.active IS 'The configuration as it was really active, as the worker recorded it.';
COMMENT ON COLUMN attempts.facts IS
    'What was found and is no number, by name: peak_phase, oom (phase, requested_bytes, …), …; docs/measuring.md has them.';
COMMENT ON COLUMN attempts.disturbed IS
    'Why its figures are not to be trusted (throttled, another process on the device, …); empty where nothing was found.';
COMMENT ON COLUMN attempts.breakdown IS
    'Bytes of weights, gradients and optimizer state at steady state, and the peak; of which device (cpu or cuda).';
COMMENT ON COLUMN attempts.compute IS
    'FLOPs per token by part, the peak FLOP/s of the device for its dtype, and where each comes from.';

CREATE TABLE metrics (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE
);
COMMENT ON TABLE metrics IS 'The public metrics of each attempt (its summary); docs/measuring.md defines them.';
COMMENT ON COLUMN metrics.suite IS 'Name of the suite.';
COMMENT ON COLUMN metrics.trial_id IS 'The trial.';
COMMENT ON COLUMN metrics.attempt IS 'The attempt.';
COMMENT ON COLUMN metrics.metric IS 'Name of the metric, e.g. tokens_per_second.';
COMMENT ON COLUMN metrics.value IS 'Its value, in the metric''s unit.';

CREATE TABLE phases (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    phase VARCHAR NOT NULL,
    started_s DOUBLE,
    ended_s DOUBLE,
    seconds DOUBLE
);
COMMENT ON TABLE phases IS 'The phases of each attempt, in the order they began; a phase may occur several times.';
COMMENT ON COLUMN phases.suite IS 'Name of the suite.';
COMMENT ON COLUMN phases.trial_id IS 'The trial.';
COMMENT ON COLUMN phases.attempt IS 'The attempt.';
COMMENT ON COLUMN phases.phase IS 'import, model, data, trainer, train, eval, save, …';
COMMENT ON COLUMN phases.started_s IS 'Seconds after the attempt''s start.';
COMMENT ON COLUMN phases.ended_s IS 'Seconds after the attempt''s start; NULL where the attempt ended inside it.';
COMMENT ON COLUMN phases.seconds IS 'Its duration; NULL where the attempt ended inside it.';

CREATE TABLE samples (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    metric VARCHAR NOT NULL,
    step BIGINT,
    t DOUBLE,
    value DOUBLE,
    device VARCHAR
);
COMMENT ON TABLE samples IS
    'One metric at one step, or moment, of one attempt, from events.jsonl and device.jsonl: the long table.';
COMMENT ON COLUMN samples.suite IS 'Name of the suite.';
COMMENT ON COLUMN samples.trial_id IS 'The trial.';
COMMENT ON COLUMN samples.attempt IS 'The attempt.';
COMMENT ON COLUMN samples.metric IS
    'Per step: step_seconds, data_seconds, device_seconds, real_tokens, padded_tokens, loss_tokens, reference_tokens, samples, model_flops, hardware_flops, measured (0 in warm-up); TRL''s log by its own names: loss, grad_norm, learning_rate, eval_loss, rewards/margins, …; memory by name: host_uss, device_allocated, …; of the device over time, without a step: device_power, device_utilization, …';
COMMENT ON COLUMN samples.step IS
    'Optimizer step, from 1; 0 before the first. NULL for what is sampled over time beside the worker.';
COMMENT ON COLUMN samples.t IS 'Seconds after the attempt''s start.';
COMMENT ON COLUMN samples.value IS
    'The value; NaN and infinities are kept. Of a training by several processes: of all of them where it is of a step.';
COMMENT ON COLUMN samples.device IS 'UUID of the device that was sampled over time; NULL for what is of the training.';

CREATE TABLE notes (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    t DOUBLE,
    level VARCHAR,
    text VARCHAR
);
COMMENT ON TABLE notes IS 'What a reader of an attempt''s result should know, as the worker noted it.';
COMMENT ON COLUMN notes.suite IS 'Name of the suite.';
COMMENT ON COLUMN notes.trial_id IS 'The trial.';
COMMENT ON COLUMN notes.attempt IS 'The attempt.';
COMMENT ON COLUMN notes.t IS 'Seconds after the attempt''s start.';
COMMENT ON COLUMN notes.level IS 'info or warning.';
COMMENT ON COLUMN notes.text IS 'The note.';

CREATE TABLE findings (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    name VARCHAR,
    step BIGINT,
    level VARCHAR,
    text VARCHAR
);
COMMENT ON TABLE findings IS 'What the health of a training showed: spikes, gradients out of range, losses that do not fall, …';
COMMENT ON COLUMN findings.suite IS 'Name of the suite.';
COMMENT ON COLUMN findings.trial_id IS 'The trial.';
COMMENT ON COLUMN findings.attempt IS 'The attempt.';
COMMENT ON COLUMN findings.name IS 'Its kind: loss_spike, …; docs/measuring.md has them.';
COMMENT ON COLUMN findings.step IS 'The optimizer step where it began; NULL where it is of the whole training.';
COMMENT ON COLUMN findings.level IS 'info or warning.';
COMMENT ON COLUMN findings.text IS 'The finding, in words.';

CREATE TABLE environment_files (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    environment VARCHAR NOT NULL,
    content JSON
);
COMMENT ON TABLE environment_files IS 'environment.json of each trial, and those of its earlier attempts elsewhere; environments is the view to read.';
COMMENT ON COLUMN environment_files.suite IS 'Name of the suite.';
COMMENT ON COLUMN environment_files.trial_id IS 'The trial.';
COMMENT ON COLUMN environment_files.environment IS 'Hash of the environment, as attempts name it.';
COMMENT ON COLUMN environment_files.content IS 'environment.json whole.';

CREATE TABLE scores (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    task VARCHAR NOT NULL,
    backend VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE,
    stderr DOUBLE,
    higher_is_better BOOLEAN,
    n_documents BIGINT,
    task_hash VARCHAR,
    task_version VARCHAR,
    weights_hash VARCHAR,
    flags JSON,
    versions JSON,
    scored_at VARCHAR,
    duration_s DOUBLE
);
COMMENT ON TABLE scores IS 'One lm-eval metric of one trial on one task, per backend, from score.json.';
COMMENT ON COLUMN scores.suite IS 'Name of the suite.';
COMMENT ON COLUMN scores.trial_id IS 'The trial.';
COMMENT ON COLUMN scores.task IS 'lm-eval task.';
COMMENT ON COLUMN scores.backend IS 'What ran the model: hf, vllm.';
COMMENT ON COLUMN scores.metric IS 'Metric of the task: acc, exact_match, …';
COMMENT ON COLUMN scores.value IS 'Its value.';
COMMENT ON COLUMN scores.stderr IS 'Its standard error over documents.';
COMMENT ON COLUMN scores.higher_is_better IS 'Its direction.';
COMMENT ON COLUMN scores.n_documents IS 'Documents scored.';
COMMENT ON COLUMN scores.task_hash IS 'Hash of the task''s definition and documents.';
COMMENT ON COLUMN scores.task_version IS 'Version of the task.';
COMMENT ON COLUMN scores.weights_hash IS 'Hash of the weights that were scored.';
COMMENT ON COLUMN scores.flags IS 'limit, num_fewshot, apply_chat_template, batch_size.';
COMMENT ON COLUMN scores.versions IS 'Versions of lm_eval, transformers, torch, vllm.';
COMMENT ON COLUMN scores.scored_at IS 'When, ISO 8601 UTC.';
COMMENT ON COLUMN scores.duration_s IS 'Wall seconds of the scoring.';

CREATE TABLE score_documents (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    task VARCHAR NOT NULL,
    backend VARCHAR NOT NULL,
    document BIGINT,
    doc_hash VARCHAR,
    prompt_hash VARCHAR,
    target_hash VARCHAR,
    target VARCHAR,
    response VARCHAR,
    metrics MAP(VARCHAR, DOUBLE),
    logprobs DOUBLE[]
);
COMMENT ON TABLE score_documents IS 'One document''s result in one score, from documents.jsonl.';
COMMENT ON COLUMN score_documents.suite IS 'Name of the suite.';
COMMENT ON COLUMN score_documents.trial_id IS 'The trial.';
COMMENT ON COLUMN score_documents.task IS 'lm-eval task.';
COMMENT ON COLUMN score_documents.backend IS 'What ran the model: hf, vllm.';
COMMENT ON COLUMN score_documents.document IS 'Index of the document in the task.';
COMMENT ON COLUMN score_documents.doc_hash IS 'Hash of the document: pairs the same document over trials.';
COMMENT ON COLUMN score_documents.prompt_hash IS 'Hash of the prompt as the model saw it.';
COMMENT ON COLUMN score_documents.target_hash IS 'Hash of the expected answer.';
COMMENT ON COLUMN score_documents.target IS 'The expected answer.';
COMMENT ON COLUMN score_documents.response IS 'The model''s answer.';
COMMENT ON COLUMN score_documents.metrics IS 'The document''s own values: metrics[''acc''] is 0 or 1.';
COMMENT ON COLUMN score_documents.logprobs IS 'Log-probabilities of the choices, where the task has them.';

CREATE TABLE ingested (folder VARCHAR NOT NULL, part VARCHAR NOT NULL, signature VARCHAR NOT NULL);
COMMENT ON TABLE ingested IS 'Bookkeeping: which state of which file is stored; no interface.';
COMMENT ON COLUMN ingested.folder IS 'The run folder, relative to the folder of this database.';
COMMENT ON COLUMN ingested.part IS 'trial, scores, or attempts/<n>.';
COMMENT ON COLUMN ingested.signature IS 'Sizes and modification times of its files.';

CREATE VIEW counting_attempts AS
SELECT suite, trial_id,
       coalesce(
           max(attempt) FILTER (outcome = 'ok' AND coalesce(len(disturbed), 0) = 0),
           max(attempt) FILTER (outcome = 'ok'),
           max(attempt) FILTER (outcome IS NOT NULL)
       ) AS attempt,
       count(*) AS attempts,
       arg_max(weights_hash, attempt) FILTER (outcome = 'ok') AS weights_hash
FROM attempts GROUP BY ALL;
COMMENT ON VIEW counting_attempts IS
    'The attempt that counts for each trial: the last ok one that nothing disturbed, else the last ok one, else the last that ended; NULL while none has ended. weights_hash: of the weights that lie there, which the last ok attempt left.';

CREATE VIEW environments AS
SELECT environment, any_value(content ORDER BY suite, trial_id) AS content, count(*) AS trials
FROM environment_files GROUP BY environment;
COMMENT ON VIEW environments IS 'Each environment that trials ran in: its hash, environment.json, and how many trials.';

CREATE VIEW suites AS
SELECT suite,
       arg_max(question, (coalesce(started_at, ''), trial_id)) AS question,
       arg_max(suite_file, (coalesce(started_at, ''), trial_id)) AS suite_file,
       count(DISTINCT cell_id) AS cells,
       count(DISTINCT trial_id) AS trials,
       min(started_at) AS first_started_at,
       max(ended_at) AS last_ended_at
FROM trials LEFT JOIN attempts USING (suite, trial_id) GROUP BY suite;
COMMENT ON VIEW suites IS 'One row per suite; question and file as its latest attempt had them.';

CREATE VIEW cells AS
SELECT suite, cell_id,
       arg_min(cell_name, trial_id) AS cell_name,
       arg_min(kind, trial_id) AS kind,
       arg_min(method, trial_id) AS method,
       arg_min(levels, trial_id) AS levels,
       list(seed ORDER BY seed) AS seeds,
       arg_min(spec, trial_id) AS spec
FROM trials GROUP BY suite, cell_id;
COMMENT ON VIEW cells IS 'One row per cell, with the seeds it has trials for; spec is that of one of them.';

CREATE VIEW trial_scores AS
SELECT s.suite, s.trial_id, s.task, s.metric, 'score.' || s.task || '.' || s.metric AS name,
       s.value, s.stderr, s.higher_is_better, s.n_documents, s.backend, s.scored_at
FROM scores AS s
LEFT JOIN counting_attempts AS c USING (suite, trial_id)
WHERE s.weights_hash IS NULL OR c.weights_hash IS NULL OR s.weights_hash = c.weights_hash
QUALIFY row_number() OVER (
    PARTITION BY s.suite, s.trial_id, s.task, s.metric ORDER BY s.scored_at DESC, s.backend
) = 1;
COMMENT ON VIEW trial_scores IS
    'The score that counts per trial, task and metric: of the weights the trial left, the latest over backends.';

CREATE VIEW trial_metrics AS
SELECT suite, trial_id, metric, value
FROM metrics JOIN counting_attempts USING (suite, trial_id, attempt)
UNION ALL
SELECT suite, trial_id, name, value FROM trial_scores;
COMMENT ON VIEW trial_metrics IS
    'Every metric and score (named score.<task>.<metric>) of each trial, of the attempt that counts.';

CREATE VIEW trial_summary AS
WITH main AS (
    SELECT suite, trial_id,
           max(value) FILTER (metric = 'tokens_per_second') AS tokens_per_second,
           max(value) FILTER (metric = 'samples_per_second') AS samples_per_second,
           max(value) FILTER (metric = 'step_seconds_p50') AS step_seconds_p50,
           max(value) FILTER (metric = 'padding_share') AS padding_share,
           max(value) FILTER (metric = 'train_seconds') AS train_seconds,
           max(value) FILTER (metric = 'trial_seconds') AS trial_seconds,
           max(value) FILTER (metric = 'peak_host_memory') AS peak_host_memory,
           max(value) FILTER (metric = 'peak_device_memory') AS peak_device_memory,
           max(value) FILTER (metric = 'peak_allocated') AS peak_allocated,
           max(value) FILTER (metric = 'peak_reserved') AS peak_reserved,
           max(value) FILTER (metric = 'weight_memory') AS weight_memory,
           max(value) FILTER (metric = 'gradient_memory') AS gradient_memory,
           max(value) FILTER (metric = 'optimizer_memory') AS optimizer_memory,
           max(value) FILTER (metric = 'activation_memory') AS activation_memory,
           max(value) FILTER (metric = 'mfu') AS mfu,
           max(value) FILTER (metric = 'hfu') AS hfu,
           max(value) FILTER (metric = 'energy_per_token') AS energy_per_token,
           max(value) FILTER (metric = 'mean_power') AS mean_power,
           max(value) FILTER (metric = 'final_loss') AS final_loss,
           max(value) FILTER (metric = 'final_eval_loss') AS final_eval_loss,
           max(value) FILTER (metric = 'final_reward_margin') AS final_reward_margin,
           max(value) FILTER (metric = 'trainable_parameters') AS trainable_parameters,
           map_from_entries(list((metric[7:], value) ORDER BY metric) FILTER (starts_with(metric, 'score.'))) AS scores
    FROM trial_metrics GROUP BY suite, trial_id
)
SELECT t.suite, t.trial_id, t.name, t.cell_id, t.cell_name, t.kind, t.method, t.levels, t.seed,
       a.outcome, a.phase, a.cause, coalesce(a.disturbed, []) AS disturbed,
       coalesce(c.attempts, 0) AS attempts, c.attempt, a.started_at, a.duration_s,
       coalesce(a.environment, e.environment) AS environment,
       main.* EXCLUDE (suite, trial_id)
FROM trials AS t
LEFT JOIN counting_attempts AS c USING (suite, trial_id)
LEFT JOIN attempts AS a ON a.suite = t.suite AND a.trial_id = t.trial_id AND a.attempt = c.attempt
LEFT JOIN (
    SELECT suite, trial_id, any_value(environment) AS environment
    FROM environment_files GROUP BY suite, trial_id HAVING count(*) = 1
) AS e ON e.suite = t.suite AND e.trial_id = t.trial_id
LEFT JOIN main ON main.suite = t.suite AND main.trial_id = t.trial_id;
COMMENT ON VIEW trial_summary IS
    'One row per trial: the outcome that counts, its main metrics as columns, its scores as a map: scores[''task.acc''].';

CREATE VIEW memory_breakdown AS
SELECT t.suite, t.trial_id, t.name, t.cell_name, t.kind, t.method, t.seed, a.outcome,
       a.breakdown->>'$.device' AS device,
       max(m.value) FILTER (m.metric = 'weight_memory') AS weights,
       max(m.value) FILTER (m.metric = 'gradient_memory') AS gradients,
       max(m.value) FILTER (m.metric = 'optimizer_memory') AS optimizer,
       max(m.value) FILTER (m.metric = 'activation_memory') AS activations,
       max(m.value) FILTER (m.metric = 'peak_allocated') AS peak_allocated,
       max(m.value) FILTER (m.metric = 'peak_reserved') AS peak_reserved,
       max(m.value) FILTER (m.metric = 'peak_device_memory') AS peak_device_memory,
       max(m.value) FILTER (m.metric = 'peak_host_memory') AS peak_host_memory,
       any_value(a.facts->>'$.peak_phase') AS peak_phase,
       try_cast(any_value(a.facts->>'$.oom.requested_bytes') AS DOUBLE) AS oom_requested
FROM trials AS t
JOIN counting_attempts AS c USING (suite, trial_id)
JOIN attempts AS a ON a.suite = t.suite AND a.trial_id = t.trial_id AND a.attempt = c.attempt
LEFT JOIN metrics AS m ON m.suite = t.suite AND m.trial_id = t.trial_id AND m.attempt = c.attempt
GROUP BY ALL;
COMMENT ON VIEW memory_breakdown IS
    'Memory of each trial in bytes: weights, gradients, optimizer state, activations, the peaks and the phase of the peak; what a trial that ran out of memory had asked for.';

CREATE VIEW device_timeline AS
SELECT t.suite, t.trial_id, t.name, t.cell_name, t.kind, t.method, t.seed, s.device, s.t,
       max(s.value) FILTER (s.metric = 'device_power') AS power,
       max(s.value) FILTER (s.metric = 'device_energy') AS energy,
       max(s.value) FILTER (s.metric = 'device_utilization') AS utilization,
       max(s.value) FILTER (s.metric = 'device_memory_used') AS memory_used,
       max(s.value) FILTER (s.metric = 'device_sm_clock') AS sm_clock,
       max(s.value) FILTER (s.metric = 'device_memory_clock') AS memory_clock,
       max(s.value) FILTER (s.metric = 'device_temperature') AS temperature,
       max(s.value) FILTER (s.metric = 'device_throttle') AS throttle,
       max(s.value) FILTER (s.metric = 'device_others') AS others
FROM samples AS s
JOIN counting_attempts AS c USING (suite, trial_id, attempt)
JOIN trials AS t ON t.suite = s.suite AND t.trial_id = s.trial_id
WHERE s.step IS NULL AND s.metric <> 'device_memory_before'
GROUP BY ALL;
COMMENT ON VIEW device_timeline IS
    'What was sampled of the device beside each trial, of the attempt that counts: one row per device and moment (t seconds after the start); W, J since the first sample, shares, bytes, MHz, °C, reasons to throttle, other processes. Long trials are thinned to means.';

CREATE VIEW loss_curves AS
SELECT t.suite, t.trial_id, t.name, t.cell_name, t.kind, t.method, t.seed, s.step, s.t, s.value AS loss
FROM samples AS s
JOIN counting_attempts AS c USING (suite, trial_id, attempt)
JOIN trials AS t ON t.suite = s.suite AND t.trial_id = s.trial_id
WHERE s.metric = 'loss';
COMMENT ON VIEW loss_curves IS 'Training loss by step, of the attempt that counts. Losses of different methods are different quantities.';

CREATE VIEW reward_margins AS
SELECT t.suite, t.trial_id, t.name, t.cell_name, t.kind, t.method, t.seed, s.step, s.t, s.value AS margin
FROM samples AS s
JOIN counting_attempts AS c USING (suite, trial_id, attempt)
JOIN trials AS t ON t.suite = s.suite AND t.trial_id = s.trial_id
WHERE s.metric = 'rewards/margins';
COMMENT ON VIEW reward_margins IS 'Reward margin (chosen − rejected) by step of preference methods, of the attempt that counts.';

CREATE VIEW method_comparison AS
SELECT t.suite, t.cell_id, arg_min(t.cell_name, t.trial_id) AS cell_name, arg_min(t.kind, t.trial_id) AS kind,
       arg_min(t.method, t.trial_id) AS method, m.metric,
       count(m.value) AS seeds, avg(m.value) AS mean, stddev_samp(m.value) AS sd, min(m.value) AS low, max(m.value) AS high
FROM trials AS t
JOIN trial_metrics AS m USING (suite, trial_id)
JOIN counting_attempts AS c USING (suite, trial_id)
JOIN attempts AS a ON a.suite = t.suite AND a.trial_id = t.trial_id AND a.attempt = c.attempt
WHERE a.outcome = 'ok'
GROUP BY t.suite, t.cell_id, m.metric;
COMMENT ON VIEW method_comparison IS
    'Each metric and score of each cell over its seeds: number, mean, sample standard deviation, range; ok trials only.';
