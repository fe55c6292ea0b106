#!/usr/bin/env python3
"""Writes the dashboards beside it: generate.py [FOLDER], dashboards/ by default.

A test compares what is committed with what this writes. Expressions use the recording rules of
../prometheus/rules where there is one.
"""
import json
import pathlib
import sys

RUN = 'job=~"$job",run=~"$run"'
RANK = RUN + ',rank=~"$rank"'
LAYER = RUN + ',layer=~"$layer"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24


def variable(name, query, label):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE,
            "query": {"query": query, "refId": "variable"}, "definition": query,
            "refresh": 2, "sort": 3, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": []}


def variables(root, extra):
    """job and run from the family `root`, then `extra` of (name, family)."""
    listed = [{"name": "datasource", "label": "Data source", "type": "datasource",
               "query": "prometheus", "refresh": 1, "multi": False, "includeAll": False,
               "current": {}, "options": []},
              variable("job", f"label_values({root}, job)", "Job"),
              variable("run", f'label_values({root}{{job=~"$job"}}, run)', "Run")]
    for name, family in extra:
        listed.append(variable(name, f"label_values({family}{{{RUN}}}, {name})", name.capitalize()))
    return {"list": listed}


def options_of(kind):
    return {
        "timeseries": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                       "tooltip": {"mode": "multi", "sort": "desc"}},
        "stat": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                 "colorMode": "value", "graphMode": "area", "textMode": "auto"},
        "bargauge": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                     "displayMode": "gradient", "orientation": "horizontal"},
        # One row per series, its value as colour.
        "heatmap": {"calculate": False, "cellGap": 0, "yAxis": {"axisPlacement": "left"},
                    "rowsFrame": {"layout": "auto", "value": "value"},
                    "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64, "reverse": False},
                    "legend": {"show": True}, "tooltip": {"mode": "single", "yHistogram": False}},
        "state-timeline": {"showValue": "auto", "rowHeight": 0.9,
                           "legend": {"displayMode": "list", "showLegend": True}},
    }[kind]


def panel(title, description, unit, *queries, kind="timeseries", width=12, height=8, stack=False,
          limits=()):
    """queries: (expression, legend). limits: values from which it is yellow, then red."""
    defaults = {"unit": unit, "custom": {}}
    if kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "showPoints": "never", "spanNulls": False,
                              "fillOpacity": 40 if stack else 0,
                              "stacking": {"mode": "normal" if stack else "none", "group": "A"}}
    steps = [{"color": "green", "value": None}]
    steps += [{"color": c, "value": v} for c, v in zip(("yellow", "red"), limits)]
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {"title": title, "description": description, "type": kind, "datasource": SOURCE,
            "gridPos": {"w": width, "h": height}, "options": options_of(kind),
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "targets": [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expression,
                         "legendFormat": legend, "range": True, "editorMode": "code",
                         "instant": False} for i, (expression, legend) in enumerate(queries)]}


def stat(title, description, unit, expression, legend="{{run}}", width=4, limits=()):
    return panel(title, description, unit, (expression, legend), kind="stat", width=width, height=4,
                 limits=limits)


def dashboard(uid, title, description, templating, panels):
    x = y = row = 0
    for number, each in enumerate(panels, start=1):
        place = each["gridPos"]
        if x + place["w"] > WIDTH:
            x, y, row = 0, y + row, 0
        each["id"] = number
        each["gridPos"] = {"x": x, "y": y, **place}
        x, row = x + place["w"], max(row, place["h"])
    return {"uid": uid, "title": title, "description": description, "tags": ["hecate"],
            "schemaVersion": 39, "version": 1, "editable": True, "graphTooltip": 1,
            "refresh": "10s", "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
            "annotations": {"list": []}, "templating": templating, "panels": panels,
            "links": [{"type": "dashboards", "tags": ["hecate"], "asDropdown": True,
                       "title": "hecate", "includeVars": True, "keepTime": True}]}


def training():
    return dashboard(
        "hecate-training", "hecate: training", "How a run goes: loss, speed, checkpoints.",
        variables("hecate_steps_total", []),
        [stat("Step", "Optimizer steps done.", "none", f"hecate_steps_total{{{RUN}}}"),
         stat("Progress", "Steps done over train.steps.", "percentunit",
              f"hecate_steps_total{{{RUN}}} / hecate_target_steps{{{RUN}}}"),
         stat("Loss", "Training loss of the last step, nats per token.", "none",
              f"hecate_loss{{{RUN}}}"),
         stat("Tokens per second", "Tokens of the last minute over time, pauses included.", "short",
              f"hecate:tokens:rate1m{{{RUN}}}"),
         stat("FLOP utilisation", "Model operations of the first rank per second over the "
              "multiply-add rate measured at start; not known on a paced device.", "percentunit",
              f"hecate_flops_utilization_ratio{{{RUN}}}"),
         stat("Since the last step", "How long ago a rank last ended a step.", "s",
              f"hecate:step_age:seconds{{{RUN}}}", limits=(60, 300)),
         panel("Loss", "Training loss of each step and loss on the held-out text.", "none",
               (f"hecate_loss{{{RUN}}}", "{{run}} training"),
               (f"hecate_eval_loss{{{RUN}}}", "{{run}} held out")),
         panel("Learning rate and balance losses", "Learning rate; balance and z losses over all "
               "layers.", "none", (f"hecate_learning_rate{{{RUN}}}", "{{run}} rate"),
               (f"hecate_auxiliary_loss{{{RUN}}}", "{{run}} auxiliary loss")),
         panel("Gradient norm", "Before clipping.", "none",
               (f"hecate_gradient_norm{{{RUN}}}", "{{run}}")),
         panel("Bits per byte", "What the model needs for a byte of the held-out text.", "none",
               (f"8 * hecate_eval_compression_ratio{{{RUN}}}", "{{run}}")),
         panel("Step time", "Of each step, and what a step takes on average of the last minute.", "s",
               (f"hecate_step_seconds{{{RUN}}}", "{{run}} last"),
               (f"hecate:step_seconds:avg1m{{{RUN}}}", "{{run}} mean of 1 min")),
         panel("Throughput", "Tokens of a step over its time, and over all time.", "short",
               (f"hecate_tokens_per_second{{{RUN}}}", "{{run}} in steps"),
               (f"hecate:tokens:rate1m{{{RUN}}}", "{{run}} overall")),
         panel("Critical path", "The first rank's compute of the last step by kind of operation, "
               "reading data, and what compute stood still for (mean of the ranks).", "s",
               (f'hecate_operation_seconds{{{RUN},kind!~"dispatch|combine|expert_gather|'
                'expert_reduce|dense_gather|dense_reduce"}', "{{kind}}"),
               (f"hecate_exposed_seconds{{{RUN}}}", "waiting for {{kind}}"), width=24, stack=True),
         panel("Steps that moved nothing", "Per minute: loss or gradient not finite, or the loss "
               "above its limit (train.on_spike).", "none",
               (f"60 * rate(hecate_refused_steps_total{{{RUN}}}[1m])", "{{run}} {{reason}}")),
         panel("Checkpoint age", "Since the newest checkpoint was complete, or since the start.", "s",
               (f"hecate:checkpoint_age:seconds{{{RUN}}}", "{{run}}")),
         panel("Checkpoint duration", "What the newest checkpoint kept training waiting, and its "
               "writing in the background.", "s",
               (f"hecate_checkpoint_staging_seconds{{{RUN}}}", "{{run}} staging"),
               (f"hecate_checkpoint_write_seconds{{{RUN}}}", "{{run}} writing")),
         panel("Checkpoint size", "What the first rank wrote of the newest checkpoint.", "bytes",
               (f"hecate_checkpoint_size_bytes{{{RUN}}}", "{{run}}"))])


def experts():
    return dashboard(
        "hecate-experts", "hecate: experts", "Load of experts, and where they are placed.",
        variables("hecate_steps_total", [("layer", "hecate_expert_load_max_ratio")]),
        [panel("Load of the busiest expert, by layer", "Choices of the layer's busiest expert over "
               "the mean; colour over time.", "none",
               (f"hecate_expert_load_max_ratio{{{LAYER}}}", "layer {{layer}}"), kind="heatmap",
               width=24, height=9),
         panel("Load of each expert", "Choices per expert and step; needs metrics.per_expert = true.",
               "short", (f"hecate_expert_choices{{{LAYER}}}", "layer {{layer}} expert {{expert}}"),
               kind="heatmap", width=24, height=10),
         panel("Entropy of loads", "Over the largest possible: 1 is even.", "percentunit",
               (f"hecate_expert_load_entropy_ratio{{{LAYER}}}", "layer {{layer}}")),
         panel("Dropped choices", "Share of the choices of 5 minutes that were dropped because an "
               "expert was full (router.capacity_factor).", "percentunit",
               (f"hecate:dropped_choices:ratio5m{{{LAYER}}}", "layer {{layer}}"),
               limits=(0.01, 0.05)),
         panel("Imbalance of ranks", "Rows of the busiest rank over the mean: with every expert at "
               "its owner alone, and with the copies of this step.", "none",
               (f'hecate_device_imbalance_ratio{{{LAYER},placement="owners"}}',
                "layer {{layer}} owners alone"),
               (f'hecate_device_imbalance_ratio{{{LAYER},placement="materialized"}}',
                "layer {{layer}} materialized")),
         panel("Imbalance taken away", "Of the imbalance that owners alone would have, mean of the "
               "layers: 100 % is even.", "percentunit",
               (f"hecate:imbalance_removed:ratio{{{RUN}}}", "{{run}}")),
         panel("Copies", "Of the layer's experts besides the owners'.", "none",
               (f"hecate_expert_replicas{{{LAYER}}}", "layer {{layer}}"), stack=True),
         panel("Forecast error", "Share of the choices that the forecast had at other experts.",
               "percentunit", (f"hecate_forecast_error_ratio{{{LAYER}}}", "layer {{layer}}")),
         panel("Plan against its bound", "Modelled seconds of a layer's exchanges and experts as "
               "planned, and of its experts on equally loaded ranks.", "s",
               (f"hecate_plan_modelled_seconds{{{LAYER}}}", "layer {{layer}} planned"),
               (f"hecate_plan_bound_seconds{{{LAYER}}}", "layer {{layer}} bound")),
         panel("Planning", "What planning took of the first rank's last step.", "s",
               (f"hecate_planning_seconds{{{RUN}}}", "{{run}}")),
         panel("Owners that moved", "Experts that changed their owner since the run began.", "none",
               (f"hecate_owner_moves_total{{{RUN}}}", "{{run}} experts"),
               (f"hecate_reshards_total{{{RUN}}}", "{{run}} times"))])


def communication():
    return dashboard(
        "hecate-communication", "hecate: communication",
        "Bytes between ranks, and what communication costs.",
        variables("hecate_sent_bytes_total", []),
        [stat("Exposed share", "Share of the step in which compute stood still for communication or "
              "the host.", "percentunit", f"hecate_exposed_ratio{{{RUN}}}", width=6,
              limits=(0.2, 0.4)),
         stat("Between nodes", "Bytes per second that leave their node.", "Bps",
              f'sum by (run) (hecate:sent_bytes:rate1m{{{RUN},link="network"}})', width=6),
         stat("Inside nodes", "Bytes per second between ranks of one node.", "Bps",
              f'sum by (run) (hecate:sent_bytes:rate1m{{{RUN},link="node"}})', width=6),
         stat("Per step", "Bytes that all ranks send in a step, mean of a minute.", "bytes",
              f"hecate:sent_bytes_per_step:avg1m{{{RUN}}}", width=6),
         panel("Sent, by collective and link", "Over all ranks; node: inside a node, network: between "
               "nodes.", "Bps",
               (f"hecate:sent_bytes:rate1m{{{RUN}}}", "{{collective}} over {{link}}"), width=24,
               stack=True),
         panel("Busiest link", "Bytes of the last step into or out of the node with most.", "bytes",
               (f"hecate_busiest_link_bytes{{{RUN}}}", "{{collective}}")),
         panel("Exposed share", "Share of the step in which compute stood still.", "percentunit",
               (f"hecate_exposed_ratio{{{RUN}}}", "{{run}}")),
         panel("Waiting, by what came last", "Seconds of the last step that compute stood still, mean "
               "of the ranks.", "s", (f"hecate_exposed_seconds{{{RUN}}}", "{{kind}}"), stack=True),
         panel("Communication lanes", "Seconds of the first rank's collectives in the last step, "
               "hidden or not.", "s",
               (f'hecate_operation_seconds{{{RUN},kind=~"dispatch|combine|expert_gather|'
                'expert_reduce|dense_gather|dense_reduce"}', "{{kind}}"))])


def memory():
    return dashboard(
        "hecate-memory", "hecate: memory", "What ranks hold, by category, and their budget.",
        variables("hecate_steps_total", [("rank", "hecate_memory_peak_bytes")]),
        [stat("Fullest rank", "Most bytes that a rank has held.", "bytes",
              f"max by (run) (hecate_memory_peak_total_bytes{{{RANK}}})", width=8),
         stat("Budget", "What a rank may hold (device.memory_gib); nothing where there is none.",
              "bytes", f"max by (run) (hecate_memory_budget_bytes{{{RANK}}})", width=8),
         stat("Of the budget", "Fullest rank over its budget.", "percentunit",
              f"max by (run) (hecate:memory_used:ratio{{{RANK}}})", width=8, limits=(0.8, 0.9)),
         panel("Peak by category", "Most bytes of each category by itself, sum of the ranks chosen.",
               "bytes", (f"sum by (run, category) (hecate_memory_peak_bytes{{{RANK}}})",
                         "{{run}} {{category}}"), width=24, stack=True),
         panel("Peak of each rank", "Of all categories together.", "bytes",
               (f"hecate_memory_peak_total_bytes{{{RANK}}}", "rank {{rank}}")),
         panel("Used of the budget", "Peak of each rank over its budget.", "percentunit",
               (f"hecate:memory_used:ratio{{{RANK}}}", "rank {{rank}}"), limits=(0.8, 0.9)),
         panel("Materialized experts", "Peak of the copies that steps gather.", "bytes",
               (f'hecate_memory_peak_bytes{{{RANK},category="materialized"}}', "rank {{rank}}")),
         panel("Categories of each rank", "Peak of each category by itself, now.", "bytes",
               (f"hecate_memory_peak_bytes{{{RANK}}}", "rank {{rank}} {{category}}"),
               kind="bargauge", height=12)])


def cluster():
    return dashboard(
        "hecate-cluster", "hecate: cluster and stragglers", "Which ranks live, and which are slow.",
        variables("hecate_steps_total", [("rank", "hecate_heartbeat_timestamp_seconds")]),
        [stat("Ranks seen", "Ranks whose heartbeat is shown.", "none",
              f"count by (run) (hecate_heartbeat_timestamp_seconds{{{RUN}}})", width=6),
         stat("Slowest rank", "Computed and read data longest in the last step.", "none",
              f"hecate_slowest_rank{{{RUN}}}", width=6),
         stat("Slowest over median", "Busy time of the slowest rank over the median rank's.", "none",
              f"max by (run) (hecate:rank_slowdown:ratio{{{RUN}}})", width=6, limits=(1.2, 1.5)),
         stat("Oldest heartbeat", "Since the rank that is latest ended a step.", "s",
              f"max by (run) (hecate:heartbeat_age:seconds{{{RUN}}})", width=6, limits=(60, 300)),
         panel("Slowdown of ranks", "Busy time of a rank over the median of the ranks.", "none",
               (f"hecate:rank_slowdown:ratio{{{RANK}}}", "rank {{rank}}"), kind="heatmap", width=24),
         panel("Compute", "How long each rank computed in the last step.", "s",
               (f"hecate_rank_compute_seconds{{{RANK}}}", "rank {{rank}}")),
         panel("Waiting", "How long each rank's compute stood still in the last step: a straggler "
               "waits least.", "s", (f"hecate_rank_waited_seconds{{{RANK}}}", "rank {{rank}}")),
         panel("Reading data", "How long each rank read data for the last step.", "s",
               (f"hecate_rank_data_seconds{{{RANK}}}", "rank {{rank}}")),
         panel("Heartbeat age", "Since each rank ended a step.", "s",
               (f"hecate:heartbeat_age:seconds{{{RANK}}}", "rank {{rank}}")),
         panel("GPU utilisation", "Share of the time in which a kernel ran, of the GPUs of the first "
               "rank's machine (with metrics.ranks = each, of every machine), as NVML says.",
               "percentunit",
               (f"hecate_gpu_utilization_ratio{{{RUN}}}", "{{instance}} GPU {{gpu}}")),
         panel("GPU memory", "In use, by anybody, and there, as NVML says.", "bytes",
               (f"hecate_gpu_memory_used_bytes{{{RUN}}}", "{{instance}} GPU {{gpu}} used"),
               (f"hecate_gpu_memory_size_bytes{{{RUN}}}", "{{instance}} GPU {{gpu}} there")),
         panel("Targets", "Whether Prometheus reaches what it scrapes.", "bool_on_off",
               ('up{job=~"$job"}', "{{instance}}"), kind="state-timeline"),
         panel("Series shown", "Time series of each process, and those refused (metrics.max_series).",
               "none", (f"hecate_metrics_series{{{RUN}}}", "{{run}} shown"),
               (f"hecate_metrics_refused_total{{{RUN}}}", "{{run}} refused")),
         panel("Scrapes", "How long Prometheus took to scrape each target.", "s",
               ('scrape_duration_seconds{job=~"$job"}', "{{instance}}"))])


def population():
    return dashboard(
        "hecate-population", "hecate: population", "Members of a population-based search.",
        variables("hecate_population_members",
                  [("member", "hecate_population_member_score")]),
        [stat("Members", "Of the population.", "none", f"hecate_population_members{{{RUN}}}",
              width=8),
         stat("Best score", "Of all members that live.", "none",
              f"hecate:population_best_score:max{{{RUN}}}", width=8),
         stat("Lost members", "Members that are gone and not back yet.", "none",
              f"sum by (run) (hecate_population_member_up{{{RUN}}} == bool 0)", width=8,
              limits=(1, 2)),
         panel("Scores", "What members are compared by.", "none",
               (f'hecate_population_member_score{{{RUN},member=~"$member"}}', "member {{member}}"),
               width=24),
         panel("Hyper-parameters", "What each member trains with.", "none",
               (f'hecate_population_hyperparameter{{{RUN},member=~"$member"}}',
                "member {{member}} {{name}}")),
         panel("Exploits", "Times each member took over another's state.", "none",
               (f'hecate_population_exploits_total{{{RUN},member=~"$member"}}',
                "member {{member}}")),
         panel("Steps", "Optimizer steps of each member.", "none",
               (f'hecate_population_member_step{{{RUN},member=~"$member"}}', "member {{member}}")),
         panel("Last heard of", "Since the controller heard of each member.", "s",
               (f'time() - hecate_population_member_seen_timestamp_seconds{{{RUN},'
                'member=~"$member"}', "member {{member}}")),
         panel("Alive", "Whether each member runs.", "bool_on_off",
               (f'hecate_population_member_up{{{RUN},member=~"$member"}}', "member {{member}}"),
               kind="state-timeline", width=24)])


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                          pathlib.Path(__file__).parent / "dashboards")
    folder.mkdir(parents=True, exist_ok=True)
    for make in (training, experts, communication, memory, cluster, population):
        text = json.dumps(make(), indent=1, ensure_ascii=False)
        (folder / f"{make.__name__}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
