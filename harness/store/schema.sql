-- The store's schema, version 4: a public interface. docs/store.md explains it with examples.
--
-- Tables hold what run folders say, nothing else; everything derived is a view. The key of a trial is
-- (suite, trial_id), of an attempt (suite, trial_id, attempt). There are no primary keys: duckdb's indexes slow bulk
-- inserts down many times, and the ingest replaces a trial's rows as a whole. Times are ISO 8601 UTC text,
-- durations seconds, memory bytes. A name never changes its meaning; a change of meaning changes the version.

CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
COMMENT ON TABLE meta IS 'About this file.';
COMMENT ON COLUMN meta.key IS 'schema_version.';
COMMENT ON COLUMN meta.value IS 'The value, as text.';
INSERT INTO meta VALUES ('schema_version', '4');

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
COMMENT ON COLUMN trials.kind IS
    'cell (of the matrix), stage (a shared training), floor (the untrained model); of no suite: scored (a model that was only scored), imported (scores that lm-eval wrote elsewhere).';
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
    step_hashes MAP(VARCHAR, VARCHAR),
    data_fingerprint VARCHAR,
    active JSON,
    facts JSON,
    disturbed VARCHAR[],
    breakdown JSON,
    compute JSON,
    run VARCHAR
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
COMMENT ON COLUMN attempts.step_hashes IS 'Hashes of the weights it saved on the way, by optimizer step.';
COMMENT ON COLUMN attempts.data_fingerprint IS 'Hash of the rows it trained on.';
COMMENT ON COLUMN attempts.active IS 'The configuration as it was really active, as the worker recorded it.';
COMMENT ON COLUMN attempts.facts IS
    'What was found and is no number, by name: peak_phase, oom (phase, requested_bytes, …), …; docs/measuring.md has them.';
COMMENT ON COLUMN attempts.disturbed IS
    'Why its figures are not to be trusted (throttled, another process on the device, …); empty where nothing was found.';
COMMENT ON COLUMN attempts.breakdown IS
    'Bytes of weights, gradients, optimizer state, reference and buffers at steady state, on which device (cpu or cuda), and what else its allocator held at that moment.';
COMMENT ON COLUMN attempts.compute IS
    'FLOPs per token by part, the peak FLOP/s of the device for its dtype, and where each comes from.';
COMMENT ON COLUMN attempts.run IS
    'Which call of `harness run` made it: one id for all its attempts; NULL where a trial was replayed alone, or that was not yet kept.';

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
COMMENT ON COLUMN samples.device IS 'The device that was sampled over time, by a hash of its UUID (device.id of environment.json); NULL for what is of the training.';

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

CREATE TABLE task_scores (
    score INTEGER NOT NULL,
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    task VARCHAR NOT NULL,
    backend VARCHAR NOT NULL,
    step BIGINT,
    n_documents BIGINT,
    task_hash VARCHAR,
    task_version VARCHAR,
    template_hash VARCHAR,
    weights_hash VARCHAR,
    tokenizer_hash VARCHAR,
    served VARCHAR,
    flags JSON,
    versions JSON,
    environment JSON,
    canary JSON,
    parity JSON,
    notes VARCHAR[],
    members VARCHAR[],
    scored_at VARCHAR,
    duration_s DOUBLE,
    document_metrics VARCHAR[],
    document_set INTEGER,
    source VARCHAR NOT NULL
);
COMMENT ON TABLE task_scores IS 'One score: one trial''s weights on one task by one backend, from score.json. scores has its metrics beside it.';
COMMENT ON COLUMN task_scores.score IS 'The score''s number in this file; another file, another number.';
COMMENT ON COLUMN task_scores.suite IS 'Name of the suite.';
COMMENT ON COLUMN task_scores.trial_id IS 'The trial.';
COMMENT ON COLUMN task_scores.task IS 'lm-eval task.';
COMMENT ON COLUMN task_scores.backend IS 'What ran the model: hf, vllm.';
COMMENT ON COLUMN task_scores.step IS 'The optimizer step whose weights were scored; NULL for those that training ended with.';
COMMENT ON COLUMN task_scores.n_documents IS 'Documents scored.';
COMMENT ON COLUMN task_scores.task_hash IS 'Hash of the task''s definition and documents.';
COMMENT ON COLUMN task_scores.task_version IS 'Version of the task.';
COMMENT ON COLUMN task_scores.template_hash IS 'Hash of the chat template and the system prompt; NULL where none is applied.';
COMMENT ON COLUMN task_scores.weights_hash IS 'Hash of the weights that were scored.';
COMMENT ON COLUMN task_scores.tokenizer_hash IS 'Hash of the tokenizer that lies with them.';
COMMENT ON COLUMN task_scores.served IS 'How the backend came to the weights: loaded, base, adapter, merged, reloaded.';
COMMENT ON COLUMN task_scores.flags IS 'limit, num_fewshot, apply_chat_template, system_instruction, batch_size, …';
COMMENT ON COLUMN task_scores.versions IS 'Versions of lm_eval, transformers, torch, vllm.';
COMMENT ON COLUMN task_scores.environment IS 'The environment that scored: name, spec_hash, lock_hash; NULL where it was the harness''s own.';
COMMENT ON COLUMN task_scores.canary IS 'What proves that these weights answered.';
COMMENT ON COLUMN task_scores.parity IS 'The same documents by transformers: documents, max_logprob_difference, mean_logprob_difference, same_answers, metrics.';
COMMENT ON COLUMN task_scores.notes IS 'What a reader of the score should know.';
COMMENT ON COLUMN task_scores.members IS 'Of a group: the tasks that its figures are means of; empty for a task.';
COMMENT ON COLUMN task_scores.scored_at IS 'When, ISO 8601 UTC.';
COMMENT ON COLUMN task_scores.duration_s IS 'Wall seconds of the scoring.';
COMMENT ON COLUMN task_scores.document_metrics IS 'Names of the documents'' own values.';
COMMENT ON COLUMN task_scores.document_set IS 'Which documents were asked, by number: task_documents has them.';
COMMENT ON COLUMN task_scores.source IS 'Name of the score''s folder in the run folder''s scores.';

CREATE TABLE score_metrics (
    score INTEGER NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE,
    stderr DOUBLE,
    higher_is_better BOOLEAN
);
COMMENT ON TABLE score_metrics IS 'Metrics of each score, from score.json.';
COMMENT ON COLUMN score_metrics.score IS 'The score, as task_scores numbers it.';
COMMENT ON COLUMN score_metrics.metric IS 'Metric of the task: acc, exact_match, …';
COMMENT ON COLUMN score_metrics.value IS 'Its value.';
COMMENT ON COLUMN score_metrics.stderr IS 'Its standard error over documents.';
COMMENT ON COLUMN score_metrics.higher_is_better IS 'Its direction.';

CREATE TABLE score_results (
    score INTEGER NOT NULL,
    document INTEGER NOT NULL,
    choice SMALLINT NOT NULL,
    response VARCHAR,
    metrics MAP(VARCHAR, DOUBLE),
    logprobs FLOAT[]
);
COMMENT ON TABLE score_results IS 'One document''s result in one score, from documents.jsonl, without what every score of the task shares; score_documents is the view to read.';
COMMENT ON COLUMN score_results.score IS 'The score, as task_scores numbers it.';
COMMENT ON COLUMN score_results.document IS 'Index of the document in the task.';
COMMENT ON COLUMN score_results.choice IS 'The choice that was the most probable, from 0; its text is in task_choices. −1 where the answer is in response.';
COMMENT ON COLUMN score_results.response IS 'The model''s answer where it is no choice of task_choices.';
COMMENT ON COLUMN score_results.metrics IS 'The document''s own values by metric.';
COMMENT ON COLUMN score_results.logprobs IS 'Log-probabilities of the choices in nats, in single precision.';

CREATE TABLE document_sets (
    document_set INTEGER NOT NULL,
    digest VARCHAR NOT NULL
);
COMMENT ON TABLE document_sets IS 'Sets of documents that scores share: same documents, prompts and targets in the same order.';
COMMENT ON COLUMN document_sets.document_set IS 'The set''s number in this file.';
COMMENT ON COLUMN document_sets.digest IS 'Hash of the indices, hashes and targets of its documents.';

CREATE TABLE task_documents (
    document_set INTEGER NOT NULL,
    document INTEGER NOT NULL,
    doc_hash VARCHAR,
    prompt_hash VARCHAR,
    target_hash VARCHAR,
    target VARCHAR,
    source_hash VARCHAR
);
COMMENT ON TABLE task_documents IS 'Documents of tasks as they were asked, once for all scores of the same set.';
COMMENT ON COLUMN task_documents.document_set IS 'The set, as task_scores names it.';
COMMENT ON COLUMN task_documents.document IS 'Index of the document in the task.';
COMMENT ON COLUMN task_documents.doc_hash IS 'Hash of the document: pairs the same document over trials.';
COMMENT ON COLUMN task_documents.prompt_hash IS 'Hash of the prompt as the model saw it.';
COMMENT ON COLUMN task_documents.target_hash IS 'Hash of the expected answer.';
COMMENT ON COLUMN task_documents.target IS 'The expected answer.';
COMMENT ON COLUMN task_documents.source_hash IS 'Hash of what the document was made from, which others may share; NULL where the task does not say.';

CREATE TABLE task_choices (
    document_set INTEGER NOT NULL,
    document INTEGER NOT NULL,
    choice SMALLINT NOT NULL,
    text VARCHAR
);
COMMENT ON TABLE task_choices IS 'Choices of a document that some model has answered with.';
COMMENT ON COLUMN task_choices.document_set IS 'The set, as task_scores names it.';
COMMENT ON COLUMN task_choices.document IS 'Index of the document in the task.';
COMMENT ON COLUMN task_choices.choice IS 'The choice, from 0; −1, without a text, for none.';
COMMENT ON COLUMN task_choices.text IS 'Its text.';

CREATE TABLE data_overlaps (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    task VARCHAR NOT NULL,
    task_hash VARCHAR,
    data_fingerprint VARCHAR,
    documents BIGINT,
    exact BIGINT,
    ngram BIGINT,
    short BIGINT,
    n BIGINT,
    share DOUBLE,
    training_rows BIGINT,
    trained_on JSON,
    reason VARCHAR,
    examples JSON,
    source VARCHAR NOT NULL
);
COMMENT ON TABLE data_overlaps IS 'How many of a task''s documents are in the data a trial was trained on, from scores/<task>.overlap.json.';
COMMENT ON COLUMN data_overlaps.suite IS 'Name of the suite.';
COMMENT ON COLUMN data_overlaps.trial_id IS 'The trial.';
COMMENT ON COLUMN data_overlaps.task IS 'lm-eval task.';
COMMENT ON COLUMN data_overlaps.task_hash IS 'Hash of the task''s definition and documents.';
COMMENT ON COLUMN data_overlaps.data_fingerprint IS 'Of the data that was trained on.';
COMMENT ON COLUMN data_overlaps.documents IS 'Documents that were looked for; NULL, as the other figures, where that could not be done.';
COMMENT ON COLUMN data_overlaps.exact IS 'Documents found whole.';
COMMENT ON COLUMN data_overlaps.ngram IS 'Documents that share n words in a row with the data.';
COMMENT ON COLUMN data_overlaps.short IS 'Documents with fewer words than that, of which only exact can speak.';
COMMENT ON COLUMN data_overlaps.n IS 'So many words.';
COMMENT ON COLUMN data_overlaps.share IS 'Documents found, by either way, of all.';
COMMENT ON COLUMN data_overlaps.training_rows IS 'Rows that were looked through.';
COMMENT ON COLUMN data_overlaps.trained_on IS 'The trainings whose rows those are: the trial''s own, and those of the stages it starts from.';
COMMENT ON COLUMN data_overlaps.reason IS 'Why it could not be measured; NULL where it was.';
COMMENT ON COLUMN data_overlaps.examples IS 'Some of those found.';
COMMENT ON COLUMN data_overlaps.source IS 'Name of the file in the run folder''s scores.';

CREATE TABLE earlier_scores (
    suite VARCHAR NOT NULL,
    trial_id VARCHAR NOT NULL,
    task VARCHAR,
    backend VARCHAR,
    weights_hash VARCHAR,
    scored_at VARCHAR,
    metric VARCHAR,
    value DOUBLE,
    source VARCHAR NOT NULL
);
COMMENT ON TABLE earlier_scores IS
    'Metrics of scores of weights that earlier attempts left, from scores/<task>.<backend>/earlier.jsonl: what history goes by.';
COMMENT ON COLUMN earlier_scores.suite IS 'Name of the suite.';
COMMENT ON COLUMN earlier_scores.trial_id IS 'The trial.';
COMMENT ON COLUMN earlier_scores.task IS 'The task.';
COMMENT ON COLUMN earlier_scores.backend IS 'What ran the model.';
COMMENT ON COLUMN earlier_scores.weights_hash IS 'Hash of the weights that were scored: that of the attempt which left them.';
COMMENT ON COLUMN earlier_scores.scored_at IS 'When, ISO 8601 UTC.';
COMMENT ON COLUMN earlier_scores.metric IS 'Name of the metric: acc, …';
COMMENT ON COLUMN earlier_scores.value IS 'Its value.';
COMMENT ON COLUMN earlier_scores.source IS 'Name of the score''s folder.';

CREATE TABLE ingested (folder VARCHAR NOT NULL, part VARCHAR NOT NULL, signature VARCHAR NOT NULL);
COMMENT ON TABLE ingested IS 'Bookkeeping: which state of which file is stored; no interface.';
COMMENT ON COLUMN ingested.folder IS 'The run folder, relative to the folder of this database.';
COMMENT ON COLUMN ingested.part IS 'trial, attempts/<n>, or scores/<name>.';
COMMENT ON COLUMN ingested.signature IS 'Sizes and modification times of its files.';

CREATE VIEW counting_attempts AS
SELECT suite, trial_id,
       coalesce(
           max(attempt) FILTER (outcome = 'ok' AND coalesce(len(disturbed), 0) = 0),
           max(attempt) FILTER (outcome = 'ok'),
           max(attempt) FILTER (outcome IS NOT NULL)
       ) AS attempt,
       count(*) AS attempts,
       arg_max(weights_hash, attempt) FILTER (outcome = 'ok') AS weights_hash,
       arg_max(step_hashes, attempt) FILTER (outcome = 'ok' AND weights_hash IS NOT NULL) AS step_hashes
FROM attempts GROUP BY ALL;
COMMENT ON VIEW counting_attempts IS
    'The attempt that counts for each trial: the last ok one that nothing disturbed, else the last ok one, else the last that ended; NULL while none has ended. weights_hash and step_hashes: of the weights that lie there, which the last ok attempt left.';

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

CREATE VIEW scores AS
SELECT s.suite, s.trial_id, s.task, s.backend, m.metric, m.value, m.stderr, m.higher_is_better, s.n_documents,
       s.task_hash, s.task_version, s.weights_hash, s.flags, s.versions, s.scored_at, s.duration_s,
       s.step, s.template_hash, s.served, s.notes, s.canary, s.parity, s.environment, s.score
FROM task_scores AS s JOIN score_metrics AS m USING (score);
COMMENT ON VIEW scores IS
    'Each metric of each score, with what is known of the score; step is NULL for the weights that training ended with.';

CREATE VIEW score_documents AS
SELECT s.suite, s.trial_id, s.task, s.backend, r.document, d.doc_hash, d.prompt_hash, d.target_hash, d.target,
       coalesce(r.response, c.text) AS response, r.metrics, r.logprobs, s.step, s.served,
       nullif(r.choice, -1) AS choice, r.score, d.source_hash
FROM score_results AS r
JOIN task_scores AS s USING (score)
JOIN task_documents AS d ON d.document_set = s.document_set AND d.document = r.document
JOIN task_choices AS c ON c.document_set = s.document_set AND c.document = r.document AND c.choice = r.choice;
COMMENT ON VIEW score_documents IS
    'One document''s result in one score: what was asked and expected, the answer, the document''s own values as metrics[''acc''], log-probabilities of the choices.';

CREATE VIEW score_values AS
SELECT s.suite, s.trial_id, s.task, s.backend, s.step, r.document, s.metric, r.metrics[s.metric] AS value, r.score
FROM score_results AS r
JOIN (SELECT *, unnest(document_metrics) AS metric FROM task_scores) AS s USING (score);
COMMENT ON VIEW score_values IS
    'One metric of one document in one score. The quick way to aggregate over millions of documents; documents of one task pair by document.';

CREATE VIEW trial_scores AS
SELECT s.suite, s.trial_id, s.task, m.metric, 'score.' || s.task || '.' || m.metric AS name,
       m.value, m.stderr, m.higher_is_better, s.n_documents, s.backend, s.scored_at, s.score
FROM (
    SELECT t.* FROM task_scores AS t
    LEFT JOIN counting_attempts AS c USING (suite, trial_id)
    WHERE t.step IS NULL
      AND (t.weights_hash IS NULL OR c.weights_hash IS NULL OR t.weights_hash = c.weights_hash)
    QUALIFY row_number() OVER (
        PARTITION BY t.suite, t.trial_id, t.task ORDER BY t.scored_at DESC, t.backend
    ) = 1
) AS s
JOIN score_metrics AS m USING (score);
COMMENT ON VIEW trial_scores IS
    'The score that counts per trial and task, with its metrics: of the weights the trial left at its end, the latest over backends.';

CREATE VIEW quality_curves AS
WITH last AS (
    SELECT suite, trial_id, max(step) AS step
    FROM samples JOIN counting_attempts USING (suite, trial_id, attempt)
    WHERE metric = 'step_seconds' GROUP BY ALL
), points AS (
    SELECT s.suite, s.trial_id, s.task, s.backend, s.step, false AS ended, s.scored_at, s.n_documents, s.score
    FROM task_scores AS s LEFT JOIN counting_attempts AS c USING (suite, trial_id)
    WHERE s.step IS NOT NULL
      AND (s.weights_hash IS NULL OR c.step_hashes IS NULL OR s.weights_hash = c.step_hashes[s.step::VARCHAR])
    UNION ALL
    SELECT DISTINCT s.suite, s.trial_id, s.task, s.backend, coalesce(l.step, if(t.kind = 'floor', 0, NULL)), true,
           s.scored_at, s.n_documents, s.score
    FROM trial_scores AS s
    JOIN trials AS t USING (suite, trial_id)
    LEFT JOIN last AS l USING (suite, trial_id)
), latest AS (
    SELECT * FROM points
    QUALIFY row_number() OVER (
        PARTITION BY suite, trial_id, task, step ORDER BY ended DESC, scored_at DESC, backend
    ) = 1
)
SELECT t.suite, t.trial_id, t.name, t.cell_name, t.kind, t.method, t.seed, p.task, m.metric,
       p.step, p.ended, m.value, m.stderr, p.n_documents, p.backend, p.score
FROM latest AS p
JOIN trials AS t USING (suite, trial_id)
JOIN score_metrics AS m USING (score);
COMMENT ON VIEW quality_curves IS
    'Scores over the optimizer steps of a training: those of its intermediate checkpoints, and where ended is true that of the weights it ended with. Scores of other weights than the training that counts saved at a step are left out.';

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
       count(m.value) AS seeds, avg(m.value) AS mean, stddev_samp(m.value) AS sd, min(m.value) AS low, max(m.value) AS high,
       list(DISTINCT s.backend ORDER BY s.backend) FILTER (s.backend IS NOT NULL) AS backends
FROM trials AS t
JOIN trial_metrics AS m USING (suite, trial_id)
JOIN counting_attempts AS c USING (suite, trial_id)
JOIN attempts AS a ON a.suite = t.suite AND a.trial_id = t.trial_id AND a.attempt = c.attempt
LEFT JOIN trial_scores AS s ON s.suite = t.suite AND s.trial_id = t.trial_id AND s.name = m.metric
WHERE a.outcome = 'ok'
GROUP BY t.suite, t.cell_id, m.metric;
COMMENT ON VIEW method_comparison IS
    'Each metric and score of each cell over its seeds: number, mean, sample standard deviation, range; ok trials only. Of a score also the backends it comes from: scores of different ones differ by rounding alone.';
