/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The statements. Each operation is one of them, a transaction of its own, and each result's
 * first column is the number that was sent along: an answer to another question shows (SF-6).
 *
 * LIVE is the contract's: neither expired by the caller's clock nor ended by an epoch.
 */

#include "store/postgresql/postgresql.h"

#include <stdlib.h>

#define NOT_EXPIRED(t, now) "(" t ".expires_ms = 0 OR " t ".expires_ms > " now ")"
#define NOT_ENDED(t) t ".epoch_owner >= coalesce(o.epoch, 0) AND " t ".epoch_global >= g.epoch"

/* In the condition of a change: what follows need not be heard of (schema/2.sql). */
#if PG_FORMAT >= 2
#define QUIETLY " AND (SELECT set_config('coatcheck.quiet', 'on', true)) = 'on'"
#else
#define QUIETLY ""
#endif

#define LOAD(table)                                                                            \
    "SELECT $2::bigint, t.address, t.version, t.expires_ms, t.value"                           \
    " FROM (SELECT) one LEFT JOIN {s}." table " t ON t.address = $1"

#define INSERT(name)                                                                           \
    "SELECT $6::bigint, f.answer, f.number FROM {s}." name "($1, $2, $3, $4, $5) f"

/* What the snapshot had, and what was done. The row may have changed in between: then nothing
 * is done though it looked right, and it is asked again. */
#define REPLACE(table)                                                                         \
    "WITH seen AS MATERIALIZED (SELECT t.version, " NOT_EXPIRED(                               \
        "t", "$5") " AS live"                                                                  \
                   " FROM {s}." table " t WHERE t.address = $1),"                              \
                   " done AS (UPDATE {s}." table                                               \
                   " t SET version = nextval('{s}.numbers'), expires_ms = $3,"                 \
                   " value = $4 WHERE t.address = $1 AND t.version = $2 AND " NOT_EXPIRED(     \
                       "t", "$5") " RETURNING t.version)"                                      \
                                  " SELECT $6::bigint, (SELECT version FROM done), (SELECT "   \
                                  "version FROM seen WHERE live)"

#define REPLACE_SESSION_(quietly)                                                              \
    "WITH seen AS MATERIALIZED (SELECT t.version, " NOT_EXPIRED("t", "$5") " AND " NOT_ENDED(  \
        "t") " AS live FROM {s}.state g JOIN {s}.sessions t ON t.address = $1"                 \
             " LEFT JOIN {s}.owners o ON o.owner = $7 WHERE g.one),"                           \
             " done AS (UPDATE {s}.sessions t SET version = nextval('{s}.numbers'),"           \
             " expires_ms = $3, value = $4 WHERE t.address = $1 AND t.version = $2"            \
             " AND " NOT_EXPIRED(                                                              \
                 "t",                                                                          \
                 "$5") " AND (SELECT live FROM seen)" quietly                                  \
                       " RETURNING t.version) SELECT $6::bigint, (SELECT version FROM done),"  \
                       " (SELECT version FROM seen WHERE live)"

#define REMOVE(table)                                                                          \
    "WITH gone AS (DELETE FROM {s}." table " t WHERE t.address = $1) SELECT $2::bigint"

/* Reports. The first row counts what was looked at and names the last of it; it has no expiry.
 * A value that would be too much is left out: there is more. */
#define ITEMS(from, limit, bytes, number)                                                      \
    " UNION ALL SELECT " number ", x.address, x.version, x.expires_ms,"                        \
    " CASE WHEN x.n <= " limit " AND x.before < " bytes " THEN x.value END FROM ("             \
    "SELECT t.address, t.version, t.expires_ms, t.value, row_number() OVER w AS n,"            \
    " sum(octet_length(t.value)) OVER w - octet_length(t.value) AS before " from               \
    " WINDOW w AS (ORDER BY t.address ROWS UNBOUNDED PRECEDING)"                               \
    " ORDER BY t.address LIMIT " limit " + 1) x"

#define LOOKED_AT(columns, table, which, look)                                                 \
    "WITH looked AS MATERIALIZED (SELECT " columns " FROM {s}." table " WHERE " which          \
    " ORDER BY address LIMIT " look ")"
#define LOOKED(columns, table) LOOKED_AT(columns, table, "address > $1", "$2")

#define REPORT(from, limit, bytes, number)                                                     \
    " SELECT " number "::bigint, (SELECT address FROM looked ORDER BY address DESC LIMIT 1),"  \
    " (SELECT count(*) FROM looked), NULL::bigint, NULL::bytea" ITEMS(from, limit, bytes,      \
                                                                      number)

#define SCAN(columns, table, from) LOOKED(columns, table) REPORT(from, "$3", "$4", "$6")

#define SESSION_COLUMNS "address, owner, version, expires_ms, epoch_owner, epoch_global, value"
#define LIVE_SESSIONS(now)                                                                     \
    "FROM {s}.state g CROSS JOIN looked t LEFT JOIN {s}.owners o ON o.owner = t.owner"         \
    " WHERE g.one AND " NOT_EXPIRED("t", now) " AND " NOT_ENDED("t")

/* Sweeps: number, erased, looked at, the last looked at, the last number given out. */
#define SWEPT(number, last)                                                                    \
    " SELECT " number "::bigint, (SELECT count(*) FROM gone), (SELECT count(*) FROM looked),"  \
    " " last ", (SELECT last_value FROM {s}.numbers)"
#define LAST "(SELECT address FROM looked ORDER BY address DESC LIMIT 1)"

#define SWEEP_BY_EXPIRY(table)                                                                 \
    "WITH looked AS MATERIALIZED (SELECT address FROM {s}." table                              \
    " WHERE expires_ms > 0 AND expires_ms <= $1 ORDER BY expires_ms LIMIT $2"                  \
    " FOR UPDATE SKIP LOCKED),"                                                                \
    " gone AS (DELETE FROM {s}." table                                                         \
    " t USING looked WHERE t.address = looked.address" QUIETLY                                 \
    " RETURNING 1)" SWEPT("$3", "NULL::bytea")

const pg_text pg_texts[PG_STATEMENT_COUNT] = {
    [PG_LOAD_SESSION] =
        {"load_session",
         "SELECT $3::bigint, s.address, s.version, s.expires_ms, s.value, s.epoch_owner,"
         " s.epoch_global, coalesce(o.epoch, 0), g.epoch FROM {s}.state g"
         " LEFT JOIN {s}.owners o ON o.owner = $2 LEFT JOIN {s}.sessions s ON s.address = $1"
         " WHERE g.one",
         "bbq", false},
    [PG_LOAD_ACCOUNT] = {"load_account", LOAD("accounts"), "bq", false},
    [PG_LOAD_META] = {"load_meta", LOAD("meta"), "bq", false},
    [PG_INSERT_SESSION] =
        {"insert_session",
         "SELECT $13::bigint, f.answer, f.number, f.evicted"
         " FROM {s}.insert_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) f",
         "bbqqqqqbi?bqq", true},
    [PG_INSERT_ACCOUNT] = {"insert_account", INSERT("insert_account"), "bqqqbq", true},
    [PG_INSERT_META] = {"insert_meta", INSERT("insert_meta"), "bqqqbq", true},
    [PG_REPLACE_SESSION] = {"replace_session", REPLACE_SESSION_(""), "bqqbqqb", true},
    [PG_REPLACE_QUIETLY] = {"replace_quietly", REPLACE_SESSION_(QUIETLY), "bqqbqqb", true},
    [PG_REPLACE_ACCOUNT] = {"replace_account", REPLACE("accounts"), "bqqbqq", true},
    [PG_REPLACE_META] = {"replace_meta", REPLACE("meta"), "bqqbqq", true},
    [PG_REMOVE_SESSION] = {"remove_session", REMOVE("sessions"), "bq", true},
    [PG_REMOVE_ACCOUNT] = {"remove_account", REMOVE("accounts"), "bq", true},
    [PG_REMOVE_META] = {"remove_meta", REMOVE("meta"), "bq", true},
    [PG_SCAN_SESSIONS] = {"scan_sessions",
                          SCAN(SESSION_COLUMNS, "sessions", LIVE_SESSIONS("$5")), "biiqqq",
                          false},
    [PG_SCAN_ACCOUNTS] = {"scan_accounts",
                          SCAN("address, version, expires_ms, value", "accounts",
                               "FROM looked t WHERE " NOT_EXPIRED("t", "$5")),
                          "biiqqq", false},
    [PG_SCAN_META] = {"scan_meta",
                      SCAN("address, version, expires_ms, value", "meta",
                           "FROM looked t WHERE " NOT_EXPIRED("t", "$5")),
                      "biiqqq", false},
    [PG_LIST] = {"list",
                 LOOKED_AT(SESSION_COLUMNS, "sessions", "owner = $1 AND address > $2", "$3")
                     REPORT(LIVE_SESSIONS("$6"), "$4", "$5", "$7"),
                 "bbiiqqq", false},
    [PG_REMOVE_OWNER] = {"remove_owner",
                         "SELECT $6::bigint, {s}.remove_owner($1, $2, $3, $4, $5)", "bqqbqq",
                         true},
    [PG_EPOCHS] =
        {"epochs",
         "SELECT $2::bigint, coalesce(o.epoch, 0), g.epoch,"
         " floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM {s}.state g"
         " LEFT JOIN {s}.owners o ON o.owner = $1 WHERE g.one",
         "bq", false},
    [PG_END_ALL] = {"end_all", "SELECT $2::bigint, {s}.end_all($1)", "qq", true},
    [PG_SWEEP_EXPIRED] = {"sweep_expired", SWEEP_BY_EXPIRY("sessions"), "qiq", true},
    [PG_SWEEP_META] = {"sweep_meta", SWEEP_BY_EXPIRY("meta"), "qiq", true},
    /* Whoever lifts a spared session over an epoch has judged it live: then it is not among
     * these. A row that was changed meanwhile is judged again by its own columns. */
    [PG_SWEEP_ENDED] = {"sweep_ended",
                        LOOKED(
                            "address, owner, epoch_owner, epoch_global",
                            "sessions") ", dead AS MATERIALIZED (SELECT t.address, "
                                        "coalesce(o.epoch, 0) AS mine, g.epoch"
                                        " FROM {s}.state g CROSS JOIN looked t LEFT JOIN "
                                        "{s}.owners o ON o.owner = t.owner"
                                        " WHERE g.one AND NOT (" NOT_ENDED(
                                            "t") ")),"
                                                 " locked AS MATERIALIZED (SELECT t.address "
                                                 "FROM {s}.sessions t"
                                                 " JOIN dead ON t.address = dead.address"
                                                 " WHERE t.epoch_owner < dead.mine OR "
                                                 "t.epoch_global < dead.epoch"
                                                 " FOR UPDATE OF t SKIP LOCKED),"
                                                 " gone AS (DELETE FROM {s}.sessions t USING "
                                                 "locked WHERE t.address = "
                                                 "locked.address" QUIETLY
                                                 " RETURNING 1)" SWEPT("$3", LAST),
                        "biq", true},
    [PG_SWEEP_ACCOUNTS] =
        {"sweep_accounts",
         LOOKED("address",
                "accounts") ", gone AS (DELETE FROM {s}.accounts t USING looked WHERE "
                            "t.address = looked.address"
                            " AND t.expires_ms > 0 AND t.expires_ms <= $4 RETURNING 1)" SWEPT(
                                "$3", LAST),
         "biqq", true},
    [PG_SWEEP_OWNERS] =
        {"sweep_owners",
         "WITH looked AS MATERIALIZED (SELECT owner FROM {s}.owners WHERE owner > $1"
         " ORDER BY owner LIMIT $2),"
         " gone AS (DELETE FROM {s}.owners o USING looked WHERE o.owner = looked.owner" QUIETLY
         " AND o.epoch <= $4 AND o.raised_ms <= $5 AND NOT EXISTS (SELECT FROM {s}.sessions t"
         " WHERE t.owner = o.owner AND t.epoch_owner < o.epoch) RETURNING 1)" SWEPT(
             "$3", "(SELECT owner FROM looked ORDER BY owner DESC LIMIT 1)"),
         "biqqq", true},
    [PG_SAY] = {"say",
                "SELECT $6::bigint, f.answer, f.number, f.everybody"
                " FROM {s}.say($1, $2, $3, $4, $5) f",
                "bbb?iq", true},
    [PG_LEAVE] = {"leave",
                  "WITH seen AS MATERIALIZED (SELECT FROM {s}.members WHERE instance = $1),"
                  " gone AS (DELETE FROM {s}.members WHERE instance = $1"
                  " AND ($2 = 0 OR version = $2) RETURNING 1)"
                  " SELECT $3::bigint, EXISTS (SELECT FROM gone) OR NOT EXISTS (SELECT FROM "
                  "seen)",
                  "bqq", true},
    [PG_SETTLE] =
        {"settle",
         "SELECT $3::bigint, coalesce(bool_and(pg_terminate_backend(a.pid, $4)), true)"
         " FROM pg_stat_activity a WHERE a.pid = $1"
         " AND (extract(epoch FROM a.backend_start) * 1000000)::bigint = $2",
         "iqqq", true},
    [PG_TIMEOUT] = {"timeout",
                    "SELECT $2::bigint FROM set_config('statement_timeout', $1::text, false)",
                    "iq", true},
};

char *
pg_with_schema(const char *sql, const char *schema)
{
    size_t len = 1, name = strlen(schema);
    char *out, *to;

    for (const char *at = sql; *at != '\0'; at++)
        len += strncmp(at, "{s}", 3) == 0 ? name : 1;
    out = malloc(len);
    if (out == NULL)
        return NULL;
    to = out;
    while (*sql != '\0') {
        if (strncmp(sql, "{s}", 3) != 0) {
            *to++ = *sql++;
            continue;
        }
        memcpy(to, schema, name);
        to += name;
        sql += 3;
    }
    *to = '\0';
    return out;
}
