/* SPDX-License-Identifier: Apache-2.0 */
/** Slots, buckets, and what a cluster says of them; no server. */

#include "coat_test.h"
#include "core/out.h"
#include "store/redis/cluster_topology.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static cluster_buckets buckets;

static void
slots(void)
{
    CHECK_INT(cluster_slot(COAT_LIT("123456789")), 0x31c3);
    CHECK_INT(cluster_slot(COAT_LIT("foo")), 12182);
    CHECK_INT(cluster_slot(COAT_LIT("")), 0);
}

/** Who is in which bucket, and where a bucket lies, is part of the format: it never changes. */
static void
format(void)
{
    static const uint8_t owner[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t sum = 14695981039346656037U;

    cluster_buckets_make(&buckets);
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
        for (const char *c = buckets.tags[b]; c == buckets.tags[b] || c[-1] != '\0'; c++)
            sum = (sum ^ (uint8_t)*c) * 1099511628211U;
    CHECK_STR(buckets.tags[0], "460");
    CHECK_STR(buckets.tags[255], "430");
    CHECK(sum == 0x79fe06e7a9174bb5U);
    CHECK_INT(cluster_bucket_of(owner, sizeof owner), 172);
}

/** However many primaries share the slots evenly, none has more than its part and one bucket.
 */
static void
even(void)
{
    cluster_buckets_make(&buckets);
    for (unsigned primaries = 1; primaries <= 64; primaries++) {
        unsigned count[64] = {0};

        for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
            count[(unsigned)buckets.slots[b] * primaries / CLUSTER_SLOTS]++;
        for (unsigned p = 0; p < primaries; p++) {
            CHECK(count[p] <= CLUSTER_BUCKETS / primaries + 2);
            CHECK(count[p] + 2 >= CLUSTER_BUCKETS / primaries);
        }
        if (primaries == 3)
            for (unsigned p = 0; p < 3; p++)
                CHECK(count[p] * 100 <= CLUSTER_BUCKETS * 34);
    }
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
        CHECK_INT(cluster_slot(coat_span_of(buckets.tags[b])), buckets.slots[b]);
}

/* ---- CLUSTER SLOTS ---- */

static char text[16384];
static size_t len;

static void
say(const char *part)
{
    size_t n = strlen(part);

    memcpy(text + len, part, n);
    len += n;
}

static void
say_bulk(const char *what)
{
    char head[24];

    (void)snprintf(head, sizeof head, "$%zu\r\n", strlen(what));
    say(head);
    say(what);
    say("\r\n");
}

/** @param host  NULL: nil */
static void
say_range(int64_t first, int64_t last, const char *host, int64_t port, const char *id)
{
    char line[120];

    (void)snprintf(line, sizeof line, "*3\r\n:%lld\r\n:%lld\r\n*3\r\n", (long long)first,
                   (long long)last);
    say(line);
    if (host != NULL)
        say_bulk(host);
    else
        say("$-1\r\n");
    (void)snprintf(line, sizeof line, ":%lld\r\n", (long long)port);
    say(line);
    say_bulk(id);
}

static void
say_ranges(int count)
{
    char line[24];

    len = 0;
    (void)snprintf(line, sizeof line, "*%d\r\n", count);
    say(line);
}

static coat_err
take(cluster_topology *out)
{
    resp_reader *reader = resp_reader_new();
    resp_reply *reply = NULL;
    coat_err err;

    cluster_buckets_make(&buckets);
    REQUIRE(reader != NULL);
    REQUIRE_OK(resp_feed(reader, (const uint8_t *)text, len));
    REQUIRE_OK(resp_next(reader, &reply));
    REQUIRE(reply != NULL);
    err = cluster_topology_read(reply, &buckets, "asked.example", out);
    resp_reply_free(reply);
    resp_reader_free(reader);
    return err;
}

static void
shared_out(void)
{
    cluster_topology t;

    say_ranges(3);
    say_range(0, 8191, "10.0.0.1", 6379, ID_A);
    say_range(8192, 12000, "redis-b.example", 6380, ID_B);
    say_range(12001, 12287, "10.0.0.1", 6379, ID_A);
    REQUIRE_OK(take(&t));
    CHECK_INT(t.count, 2);
    CHECK_STR(t.primaries[1].host, "redis-b.example");
    CHECK_INT(t.primaries[1].port, 6380);
    CHECK_STR(t.primaries[0].id, ID_A);
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
        CHECK_INT(t.primary_of[b], buckets.slots[b] <= 8191    ? 0
                                   : buckets.slots[b] <= 12000 ? 1
                                   : buckets.slots[b] <= 12287 ? 0
                                                               : CLUSTER_NOBODY);
}

/** Equal for whoever sees the same, in whatever order it is named; else another. */
static void
shapes(void)
{
    static const struct {
        int64_t end; /* of what A has */
        const char *first, *second;
        uint64_t epoch;
    } others[] = {
        {8191, ID_A, ID_B, 7},  /* the epoch */
        {8000, ID_A, ID_B, 6},  /* a bucket */
        {8191, ID_B, ID_A, 6},  /* changed places */
        {16383, ID_A, ID_B, 6}, /* one alone */
    };
    cluster_topology t;
    uint64_t shape;

    say_ranges(2);
    say_range(0, 8191, "h", 1, ID_A);
    say_range(8192, 16383, "i", 1, ID_B);
    REQUIRE_OK(take(&t));
    shape = cluster_shape(&t, 6);
    CHECK(shape != 0 && shape == cluster_shape(&t, 6));
    say_ranges(3);
    say_range(8192, 16383, "other.name", 2, ID_B);
    say_range(4000, 8191, "h", 1, ID_A);
    say_range(0, 3999, "h", 1, ID_A);
    REQUIRE_OK(take(&t));
    CHECK(cluster_shape(&t, 6) == shape);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        say_ranges(others[i].end < 16383 ? 2 : 1);
        say_range(0, others[i].end, "h", 1, others[i].first);
        if (others[i].end < 16383)
            say_range(others[i].end + 1, 16383, "i", 1, others[i].second);
        REQUIRE_OK(take(&t));
        if (cluster_shape(&t, others[i].epoch) == shape)
            test_fail(__FILE__, __LINE__, "case %zu has the same shape", i);
    }
}

/** "%u" is the first bucket's slot, which is what matters; 1 is nobody's. */
static void
moving(void)
{
    static const struct {
        const char *lines;
        coat_err err;
        bool moving;
    } cases[] = {
        {ID_A " :1@2 myself,master - 0 0 1 connected 0-100\n", COAT_OK, false},
        {ID_A " :1@2 myself,master - 0 0 1 connected 0-100 [%u->-" ID_B "]\n", COAT_OK, true},
        {ID_A " :1@2 master,myself - 0 0 1 connected [%u->-" ID_B "] [1->-" ID_B "]", COAT_OK,
         true},
        {ID_A " :1@2 myself,master - 0 0 1 connected 0-100 [1->-" ID_B "]\n", COAT_OK, false},
        {ID_A " :1@2 myself,master - 0 0 1 connected 0-100 [%u-<-" ID_B "]\n", COAT_OK, false},
        {ID_A " :1@2 myself,master - 0 0 1 connected [%u->", COAT_OK, false},
        {ID_A " :1@2 myself,master - 0 0 1 connected [99999999999999999999->-x]", COAT_OK,
         false},
        {ID_B " :3@4 master - 0 0 1 connected [%u->-" ID_A "]\n" ID_A
              " :1@2 myself,master - 0 0 1 connected 0-100\n",
         COAT_OK, false},
        {ID_B " :3@4 master - 0 0 1 connected\n" ID_A
              " :1@2 myself - 0 0 1 connected [%u->-x]\n",
         COAT_OK, true},
        {ID_B " :3@4 master - 0 0 1 connected\n", COAT_MALFORMED, false},
        {"myself myself notmyself,myselfnot myself\n", COAT_MALFORMED, false},
        {"\n\n", COAT_MALFORMED, false},
        {"", COAT_MALFORMED, false},
    };

    cluster_buckets_make(&buckets);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *slot = strstr(cases[i].lines, "%u");
        char lines[400];
        resp_reply reply = {.type = RESP_STRING};
        bool is = true;

        CHECK(buckets.slots[0] != 1);
        (void)snprintf(lines, sizeof lines, "%s", cases[i].lines);
        if (slot != NULL)
            (void)snprintf(lines, sizeof lines, "%.*s%u%s", (int)(slot - cases[i].lines),
                           cases[i].lines, buckets.slots[0], slot + 2);
        reply.text = coat_span_of(lines);
        if (cluster_moving_read(&reply, &buckets, &is) != cases[i].err || is != cases[i].moving)
            test_fail(__FILE__, __LINE__, "case %zu", i);
        reply.type = RESP_ERROR;
        CHECK_ERR(cluster_moving_read(&reply, &buckets, &is), COAT_MALFORMED);
    }
}

static void
own_address(void)
{
    cluster_topology t;

    say_ranges(1);
    say_range(0, 16383, NULL, 6379, ID_A);
    REQUIRE_OK(take(&t));
    CHECK_STR(t.primaries[0].host, "asked.example");
    say_ranges(1);
    say_range(0, 16383, "", 6379, ID_A);
    REQUIRE_OK(take(&t));
    CHECK_STR(t.primaries[0].host, "asked.example");
    say_ranges(0);
    REQUIRE_OK(take(&t));
    CHECK_INT(t.count, 0);
    CHECK_INT(t.primary_of[0], CLUSTER_NOBODY);
}

static void
refused(void)
{
    static const struct {
        int64_t first, last;
        const char *host;
        int64_t port;
        const char *id;
    } bad[] = {
        {-1, 5, "h", 1, ID_A},        {5, 4, "h", 1, ID_A},     {0, 16384, "h", 1, ID_A},
        {0, INT64_MAX, "h", 1, ID_A}, {0, 5, "?", 1, ID_A},     {0, 5, "h@evil", 1, ID_A},
        {0, 5, "h/..", 1, ID_A},      {0, 5, "h,i", 1, ID_A},   {0, 5, "h\r\n", 1, ID_A},
        {0, 5, "h h", 1, ID_A},       {0, 5, "[::1]", 1, ID_A}, {0, 5, "h", 0, ID_A},
        {0, 5, "h", 65536, ID_A},     {0, 5, "h", -6379, ID_A}, {0, 5, "h", 1, "short"},
        {0, 5, "h", 1, ID_A "a"},
    };
    cluster_topology t;
    char host[CLUSTER_HOST_MAX + 2];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        say_ranges(1);
        say_range(bad[i].first, bad[i].last, bad[i].host, bad[i].port, bad[i].id);
        if (take(&t) != COAT_MALFORMED)
            test_fail(__FILE__, __LINE__, "case %zu is taken", i);
    }
    memset(host, 'h', sizeof host);
    host[sizeof host - 1] = '\0';
    say_ranges(1);
    say_range(0, 5, host, 1, ID_A);
    CHECK_ERR(take(&t), COAT_MALFORMED);
    host[CLUSTER_HOST_MAX] = '\0';
    say_ranges(1);
    say_range(0, 5, host, 1, ID_A);
    CHECK_ERR(take(&t), COAT_OK);
}

static void
contradictions(void)
{
    cluster_topology t;

    say_ranges(2); /* slots of two primaries */
    say_range(0, 9000, "h", 1, ID_A);
    say_range(8000, 16383, "i", 1, ID_B);
    CHECK_ERR(take(&t), COAT_MALFORMED);
    say_ranges(2); /* one node at two addresses */
    say_range(0, 8191, "h", 1, ID_A);
    say_range(8192, 16383, "i", 1, ID_A);
    CHECK_ERR(take(&t), COAT_MALFORMED);
    say_ranges(2); /* two at one */
    say_range(0, 8191, "h", 1, ID_A);
    say_range(8192, 16383, "h", 1, ID_B);
    CHECK_ERR(take(&t), COAT_MALFORMED);
}

static void
many(void)
{
    for (int extra = 0; extra < 2; extra++) {
        cluster_topology t;
        char id[41];

        say_ranges(CLUSTER_PRIMARIES_MAX + extra);
        for (int i = 0; i < CLUSTER_PRIMARIES_MAX + extra; i++) {
            (void)snprintf(id, sizeof id, "%040d", i);
            say_range(i * 200, i * 200 + 199, "h", i + 1, id);
        }
        CHECK_ERR(take(&t), extra == 0 ? COAT_OK : COAT_TOO_LARGE);
    }
}

static void
strange(void)
{
    static const char *const replies[] = {
        "$1\r\nx\r\n",
        "-ERR This instance has cluster support disabled\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:5\r\n",
        "*1\r\n*3\r\n:0\r\n:5\r\n$1\r\nh\r\n",
        "*1\r\n*3\r\n$1\r\n0\r\n:5\r\n*3\r\n$1\r\nh\r\n:1\r\n$40\r\n" ID_A "\r\n",
        "*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:5\r\n*3\r\n:7\r\n:1\r\n$40\r\n" ID_A "\r\n",
    };
    cluster_topology t;

    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        len = 0;
        say(replies[i]);
        if (take(&t) != COAT_MALFORMED)
            test_fail(__FILE__, __LINE__, "reply %zu is taken", i);
    }
}

int
main(int argc, char **argv)
{
    static const coat_test tests[] = {
        {"slots are those of Redis", slots},
        {"buckets lie where they always did", format},
        {"SF-5: buckets are spread evenly, so that a third of the slots is at most 34 %", even},
        {"the primaries of a topology have what it says", shared_out},
        {"RV-2: who has what is one number, the same for who sees the same", shapes},
        {"RV-2: a node that hands a bucket over says so", moving},
        {"a node that does not know its address is where it was asked", own_address},
        {"SF-1: addresses that are none, and slots that are none, are refused", refused},
        {"SF-1: a topology that contradicts itself is refused as a whole", contradictions},
        {"more primaries than we take are refused", many},
        {"SF-1: what is no topology is refused", strange},
    };

    return coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
