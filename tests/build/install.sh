#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs into an empty folder, looks at what is there, and compiles programs against it, as
# anybody would: with pkg-config, and nothing of the source tree.
#   install.sh BUILD COMPILER
set -u
build=$1
read -r -a cc <<<"$2"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
n=0
bad=0

point() { # NAME LOG: a test point; a log with something in it says what is wrong
    n=$((n + 1))
    if [ ! -s "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$2"
        bad=1
    fi
}

log=$root/log
DESTDIR=$root/dest meson install -C "$build" --no-rebuild --quiet >"$log" 2>&1 && : >"$log"
point "meson install works" "$log"

prefix=$(meson introspect "$build" --buildoptions |
    python3 -c 'import json,sys; print([o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"][0])')
top=$root/dest$prefix

: >"$log"
for file in bin/coatcheck include/coatcheck/coatcheck.h include/coatcheck/store_suite.h \
    share/man/man1/coatcheck.1 share/man/man5/coatcheck.yaml.5 \
    share/bash-completion/completions/coatcheck lib/systemd/system/coatcheck.service \
    lib/systemd/system/coatcheck-gateway.service share/coatcheck/nginx/pages.conf \
    lib/systemd/system/coatcheck.socket lib/sysusers.d/coatcheck.conf lib/tmpfiles.d/coatcheck.conf \
    share/doc/coatcheck/README.md share/doc/coatcheck/docs/configuration.md \
    share/doc/coatcheck/examples/coatcheck.yaml share/doc/coatcheck/examples/pages/login.html \
    share/doc/coatcheck/examples/proxies/nginx-auth-request.conf; do
    [ -s "$top/$file" ] || echo "$file is missing" >>"$log"
done
for name in libcoatcheck.so.0 libcoat-store-suite.a coatcheck.pc coatcheck-store-suite.pc; do
    find "$top" -name "$name" | grep -q . || echo "$name is missing" >>"$log"
done
point "everything is in its place" "$log"

: >"$log"
find "$root/dest" ! -type l -perm /022 >>"$log"
find "$root/dest" -type f -perm /111 ! -path '*/bin/coatcheck' ! -name '*.so*' ! -name '*.py' >>"$log"
point "nothing can be written by others, nothing else can be executed" "$log"

grep '@' "$top/lib/systemd/system/"coatcheck*.service | grep -v ':SystemCallFilter=' >"$log"
grep -q "^ExecStart=$prefix/bin/coatcheck serve$" "$top/lib/systemd/system/coatcheck.service" ||
    echo "coatcheck.service starts another program" >>"$log"
grep -q "^ExecStart=$prefix/bin/coatcheck gateway " "$top/lib/systemd/system/coatcheck-gateway.service" ||
    echo "coatcheck-gateway.service starts another program" >>"$log"
point "the units start the installed program" "$log"

# pkg-config writes flags without DESTDIR: a sysroot puts it back.
libdir=$(dirname "$(find "$top" -name libcoatcheck.so.0)")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
flags() { # PACKAGE: into the array of that name
    read -r -a flags <<<"$(pkg-config --define-variable=prefix="$top" --cflags --libs "$1")"
}

"$top/bin/coatcheck" version >"$log" 2>&1 && : >"$log"
point "the installed program runs" "$log"

[ "coatcheck $(pkg-config --modversion coatcheck)" = "$("$top/bin/coatcheck" version)" ] ||
    echo "pkg-config: $(pkg-config --modversion coatcheck)" >"$log"
point "pkg-config knows the version" "$log"

flags coatcheck
for header in "$top"/include/coatcheck/*.h; do
    echo "#include <coatcheck/$(basename "$header")>" | "${cc[@]}" -std=c17 -Wall -Wextra -Wpedantic \
        -Werror -x c -fsyntax-only "${flags[@]}" - 2>&1
done >"$log"
point "each header compiles alone, as ISO C17" "$log"

cat >"$root/program.c" <<'PROGRAM'
#include <coatcheck/coatcheck.h>
#include <stdio.h>

int main(void)
{
    coat_store_conf store_conf = {.url = "memory:"};
    coat_engine_conf conf;
    coat_context context = {0};
    coat_store *store;
    coat_engine *engine;
    coat_keys *keys;
    coat_session *session, *again;
    char token[COAT_TOKEN_CHARS], next[COAT_TOKEN_CHARS];
    bool set;

    coat_engine_conf_default(&conf);
    if (coat_init() != COAT_OK || coat_store_open(&store_conf, &store) != COAT_OK ||
        coat_keys_generate(coat_clock_system(NULL), coat_rng_system, NULL, &keys) != COAT_OK)
        return 1;
    conf.keys = keys;
    conf.store = store;
    if (coat_engine_new(&conf, &engine) != COAT_OK ||
        coat_session_create(engine, COAT_LIT("mara"), COAT_LIT("admin"), COAT_LIT("{}"), &context,
                            &session, token) != COAT_OK ||
        coat_session_check(engine, (coat_span){(uint8_t *)token, sizeof token}, &context, &again,
                           &set, next) != COAT_OK ||
        !coat_session_has_role(again, "admin"))
        return 2;
    coat_session_free(session);
    coat_session_free(again);
    coat_engine_free(engine);
    coat_store_close(store);
    coat_keys_free(keys);
    return puts("works") < 0;
}
PROGRAM
{ "${cc[@]}" -Werror -Wall "$root/program.c" -o "$root/program" "${flags[@]}" &&
    [ "$("$root/program")" = works ] && : >"$root/fine"; } >"$log" 2>&1
[ -e "$root/fine" ] || echo "it does not compile, or not run" >>"$log"
point "a program compiled with pkg-config makes a session and finds it" "$log"

cat >"$root/suite.c" <<'PROGRAM'
#include <coatcheck/store_suite.h>
#include <stdio.h>

static coat_err open_store(void *ctx, coat_store **out)
{
    coat_store_conf conf = {.url = "memory:"};
    (void)ctx;
    return coat_store_open(&conf, out);
}
static void close_store(void *ctx, coat_store *store)
{
    (void)ctx;
    coat_store_close(store);
}
int main(void)
{
    coat_suite suite = {.open = open_store, .close = close_store, .seed = 1, .histories = 2,
                        .races = 2};
    char fault[256] = "";
    if (coat_init() != COAT_OK)
        return 1;
    for (size_t i = 0; i < coat_suite_count(); i++)
        if (!coat_suite_run(&suite, i, fault, sizeof fault))
            return printf("%s: %s\n", coat_suite_name(i), fault), 1;
    return 0;
}
PROGRAM
flags coatcheck-store-suite
{ "${cc[@]}" -Werror -Wall "$root/suite.c" -o "$root/suite" "${flags[@]}" &&
    "$root/suite"; } >"$log" 2>&1 && : >"$log"
point "the contract suite links, and the memory store keeps the contract" "$log"

# Pieces of docs/c-api.md: each block of C is whole, so it must compile.
docs=$top/share/doc/coatcheck/docs/c-api.md
{
    printf '#include <coatcheck/coatcheck.h>\n#include <coatcheck/store_suite.h>\n'
    printf '#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n#include <uv.h>\n'
    sed -n '/^```c$/,/^```$/p' "$docs" | grep -v '^```'
} >"$root/pieces.c"
: >"$log"
[ "$(grep -c '^static' "$root/pieces.c")" -ge 10 ] || echo "no pieces found in c-api.md" >"$log"
flags coatcheck-store-suite
"${cc[@]}" -std=gnu17 -Wall -Wextra -Werror -Wno-unused -fsyntax-only "${flags[@]}" "$root/pieces.c" >>"$log" 2>&1
point "the pieces of docs/c-api.md compile" "$log"

echo "1..$n"
exit $bad
