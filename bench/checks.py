# SPDX-License-Identifier: Apache-2.0
"""Checking a token in the library, beside verifying JSON Web Tokens."""
import json

from report import Row, ns
from rig import SERVER_CORE

GOALS = {'HS256': 5, 'RS256': 20, 'ES256': 100}


def tokens(rig):
    out = json.loads(rig.run([rig.tool('bench_check')], core=SERVER_CORE))
    kinds = out['kinds']
    cost = {name: k['median_ns'] for name, k in kinds.items()}
    rows = []
    for name, title, goal in (('hot', 'check of a token, hot', 350),
                              ('million', 'among 10^6 sessions, at random', 900),
                              ('invented', 'an invented token, refused', 80),
                              ('found', 'the same, found among three cookies', 150)):
        rows.append(Row(title, ns(cost[name]), goal=f'<= {goal} ns', met=cost[name] <= goal,
                        note=f"least of all rounds {ns(kinds[name]['least_ns'])}"))
    ours = [kinds[k]['allocations'] for k in ('hot', 'million', 'invented', 'found')]
    calls = out['syscalls']
    rows.append(Row('allocations, system calls in a check', f'{max(ours):g}, {calls}',
                    goal='0, 0', met=max(ours) == 0 and calls == '0'))
    for name, least in GOALS.items():
        title = 'check of a token, hot'
        if name not in cost:
            rows.append(Row(title, ns(cost['hot']), f'{name} by libjwt', goal=f'>= {least}',
                            note='libjwt or OpenSSL 3 was not there when this was built'))
            continue
        ratio, bare = cost[name] / cost['hot'], f'{name} bare'
        rows.append(Row(title, ns(cost['hot']), f'{name} by libjwt', ns(cost[name]), ratio,
                        f'>= {least}', ratio >= least,
                        f"{kinds[name]['allocations']:,.0f} allocations; signature alone, key "
                        f'parsed once: {ns(cost[bare])}, {cost[bare] / cost["hot"]:,.1f}x',
                        'times'))
    rows.append(Row('node table, bytes a session', f"{out['bytes_per_session']:.1f}",
                    goal='<= 256', met=out['bytes_per_session'] <= 256,
                    note=f"10^6 sessions, {out['evicted']} of them pushed out"))
    return rows


STEPS = (tokens,)
