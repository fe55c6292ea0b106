#!/usr/bin/env python3
"""clang-tidy over every C++ source that git knows: .ci/tidy.py BUILD_DIR [--jobs N]

BUILD_DIR is a configured build; nothing needs to be compiled in it. Reading the standard library's
headers is nine tenths of a source's cost, so up to kBatch sources of a folder that define no
common name are checked as one translation unit that includes them; 372 sources take 12 CPU
minutes so. A batch that does not compile (its sources were not written to share a unit) is halved.

A batch is skipped when a check with the same text of its sources, of every project header that
they reach, of .clang-tidy and of this script, with the same flags and clang-tidy, came out clean:
BUILD_DIR/tidy/*.ok. Exit status: 0 clean, 1 findings. Sources that BUILD_DIR does not compile
(those of a backend that it is configured without) are named and left out.
"""
import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

kRoot = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
kFolders = 'runtime|collectives|sharding|scheduler|models|launcher|monitoring|tests|benchmarks'
kBatch = 12
kKeptFlags = re.compile(r'-(I|D|isystem|std=|march=|fopenmp-simd)')
kInclude = re.compile(r'^#include "([^"]+)"', re.M)
# What a source may define at the top of a namespace: a function, or a type, constant or alias.
kDefined = re.compile(r'^(?![ }]|return|TEST|TYPED|INSTANTIATE)'
                      r'(?:[\w:<>,*&\[\] ]+[ *&](\w+)\(|(?:struct|class|enum class) (\w+)|'
                      r'using (\w+) =|(?:inline |static )*(?:constexpr|const) [\w:<>,* ]*?(\w+)'
                      r'(?:\[\w*\])?(?: =|\{))', re.M)


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


@functools.lru_cache(maxsize=None)
def reached(path):
    """The project files that `path` includes, by their own paths, itself among them."""
    found, open_paths = set(), [path]
    while open_paths:
        current = open_paths.pop()
        if current not in found:
            found.add(current)
            named = (os.path.join(kRoot, name) for name in kInclude.findall(read(current)))
            open_paths += [name for name in named if os.path.exists(name)]
    return frozenset(found)


@functools.lru_cache(maxsize=None)
def defined(path):
    return frozenset(name for match in kDefined.findall(read(path)) for name in match if name)


def compile_flags(build):
    """Source -> the flags that clang-tidy needs, in order, without repeats."""
    flags = {}
    for entry in json.loads(read(os.path.join(build, 'compile_commands.json'))):
        words, kept = shlex.split(entry['command']), []
        for i, word in enumerate(words):
            if kKeptFlags.match(word):
                kept.append(word + (words[i + 1] if word == '-isystem' else ''))
        flags.setdefault(entry['file'], tuple(dict.fromkeys(kept)))
    return flags


def tracked_sources():
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '*.cpp'], cwd=kRoot,
                            check=True, text=True, capture_output=True).stdout.split()
    return [os.path.join(kRoot, name) for name in listed]


def batches(flags):
    """Groups of sources of one folder and the same macros, no name defined twice in a group."""
    groups = {}
    for source in filter(flags.get, tracked_sources()):
        own = flags[source]
        parts = os.path.relpath(source, kRoot).split('/')
        folder = tuple(parts[:2 if parts[0] == 'tests' else 1])
        key = folder, tuple(flag for flag in own if not flag.startswith(('-I', '-isystem')))
        for group in groups.setdefault(key, []):
            if len(group['sources']) < kBatch and not group['names'] & defined(source):
                break
        else:
            group = {'sources': [], 'names': frozenset(), 'flags': ()}
            groups[key].append(group)
        group['sources'].append(source)
        group['names'] |= defined(source)
        group['flags'] = tuple(dict.fromkeys(group['flags'] + own))
    work = [(tuple(g['sources']), g['flags']) for key in groups for g in groups[key]]
    return sorted(work, key=lambda item: -len(item[0]))


class Tidy:
    def __init__(self, build):
        self.checked = set()
        self.folder = os.path.join(build, 'tidy')
        os.makedirs(self.folder, exist_ok=True)
        version = subprocess.run(['clang-tidy', '--version'], check=True, capture_output=True).stdout
        self.common = [version, read(os.path.join(kRoot, '.clang-tidy')), read(__file__)]

    def key(self, batch, flags):
        digest = hashlib.sha256(repr((self.common, batch, flags)).encode())
        for path in sorted(set().union(*map(reached, batch))):
            digest.update(f'{path}\n{read(path)}'.encode())
        return digest.hexdigest()[:32]

    def run(self, path, flags):
        command = ['clang-tidy', '--quiet', '--warnings-as-errors=*',
                   f'--header-filter=^{re.escape(kRoot)}/({kFolders})/', path, '--', *flags]
        done = subprocess.run(command, cwd=kRoot, text=True, capture_output=True)
        return (done.stdout or done.stderr) if done.returncode else ''

    def unit(self, batch, stamp):
        """The file to check: the source itself, or one that includes the batch."""
        if len(batch) == 1:
            return batch[0]
        path = stamp[:-len('.ok')] + '.cpp'
        with open(path, 'w', encoding='utf-8') as file:
            file.writelines(f'#include "{source}"  // NOLINT\n' for source in batch)
        return path

    def check(self, batch, flags):
        """What is found in a batch: nothing if it was clean before."""
        stamp = os.path.join(self.folder, self.key(batch, flags) + '.ok')
        if os.path.exists(stamp):
            return ''
        found = self.run(self.unit(batch, stamp), flags)
        if 'clang-diagnostic-error' in found and len(batch) > 1:
            half = len(batch) // 2
            found = self.check(batch[:half], flags) + self.check(batch[half:], flags)
        if not found:
            open(stamp, 'w', encoding='utf-8').close()
        self.checked.update(batch)
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    flags = compile_flags(build)
    left_out = [os.path.relpath(s, kRoot) for s in tracked_sources() if not flags.get(s)]
    work, tidy, findings = batches(flags), Tidy(build), 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(lambda item: tidy.check(*item), work):
            findings += bool(found)
            print(found, end='', flush=True)
    total = sum(len(batch) for batch, _ in work)
    print(f'clang-tidy: {total} sources, {len(tidy.checked)} checked now, '
          'the others as they were when clean')
    if left_out:
        print(f'clang-tidy: not compiled in {options.build}, left out:', *left_out)
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
