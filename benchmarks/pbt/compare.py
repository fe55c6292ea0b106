#!/usr/bin/env python3
"""Population against random search at equal compute: compare.py HECATE CONFIG --seeds 1 2 3

Runs `hecate pbt CONFIG` twice per seed, with its exploit rule and with exploit = none: the same
members with the same first values, data and number of steps. Appends a line per run to the results
file: best and all final scores, their spread, steps trained in all, copies, wall seconds.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import time


def rows(path):
    with open(path, encoding='utf-8') as file:
        return [json.loads(line) for line in file]


def trained_steps(events):
    """Steps that workers trained, copies that moved a member forward or back not counted."""
    at, total, pending = {}, 0, {}
    for event in events:
        member = event.get('member')
        if event.get('event') == 'lease' and 'copy' in event:
            pending[member] = event['copy']['step']
        elif event.get('event') == 'copied':
            at[member] = pending[member]
        elif event.get('event') == 'report':
            total += event['step'] - at.get(member, 0)
            at[member] = event['step']
    return total


def run(hecate, config, seed, exploit, out, settings):
    shutil.rmtree(out, ignore_errors=True)
    line = [hecate, 'pbt', config, '--run', out, '--set', f'seed={seed}', '--set',
            'train.progress_seconds=60']
    for setting in settings + ([f'pbt.exploit={exploit}'] if exploit else []):
        line += ['--set', setting]
    begin = time.monotonic()
    subprocess.run(line, check=True)
    seconds = time.monotonic() - begin
    events = rows(os.path.join(out, 'journal.jsonl'))[1:]
    log = rows(os.path.join(out, 'pbt.jsonl'))
    scores = [row['score'] for row in log if row['event'] == 'schedule']
    finite = [score for score in scores if score is not None]
    return {'seed': seed, 'exploit': exploit or 'as configured',
            'best': next(row['score'] for row in log if row['event'] == 'best'),
            'scores': scores, 'median': statistics.median(finite),
            'spread': max(finite) - min(finite), 'diverged': len(scores) - len(finite),
            'copies': sum(row['event'] == 'exploit' for row in log),
            'first_values': [row['values'] for row in log if row['event'] == 'member'],
            'steps_trained': trained_steps(events), 'seconds': round(seconds, 1),
            'cpus': os.cpu_count(), 'machine': platform.machine()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('hecate')
    parser.add_argument('config')
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE')
    parser.add_argument('--runs', default='runs/pbt-compare', help='where the runs go')
    parser.add_argument('--results', default='results.jsonl')
    options = parser.parse_args()
    for seed in options.seeds:
        found = {}
        for exploit in ('', 'none'):
            out = os.path.join(options.runs, f'seed{seed}-{exploit or "population"}')
            found[exploit] = run(options.hecate, options.config, seed, exploit, out, options.set)
            found[exploit]['set'] = options.set
            with open(options.results, 'a', encoding='utf-8') as file:
                file.write(json.dumps(found[exploit]) + '\n')
        assert found['']['first_values'] == found['none']['first_values']
        print(f"seed {seed}: population {found['']['best']:.4f} "
              f"(spread {found['']['spread']:.4f}, {found['']['steps_trained']} steps), "
              f"random search {found['none']['best']:.4f} "
              f"(spread {found['none']['spread']:.4f}, {found['none']['steps_trained']} steps)")


if __name__ == '__main__':
    main()
