/* table: keys are found again in tables of every kind, whatever they are, and whatever lies between. */
#include "kernels/base/table.h"

#include "tests/harness.h"

/* Keys as a hash gives them. */
static uint64_t spread(uint64_t i)
{
    i = (i ^ i >> 30) * 0xbf58476d1ce4e5b9u;
    i = (i ^ i >> 27) * 0x94d049bb133111ebu;
    return i ^ i >> 31;
}

TEST(table_of_each_kind_finds_what_was_added)
{
    enum { N = 20000 };
    for (TableKind kind = 0; kind < N_TABLE_KINDS; kind++) {
        Table t = {.kind = kind};
        bool added;
        CHECK(!table_has(&t, table_key(spread(1))));
        for (int round = 0; round < 2; round++)
            for (uint64_t i = 0; i < N; i++) {
                const TableKey key = {{spread(i), spread(~i)}};
                CHECK(table_has(&t, key) == (round == 1));
                REQUIRE_OK(table_add(&t, key, &added));
                CHECK(added == !round && table_has(&t, key));
            }
        CHECK_INT(t.n, N);
        CHECK(t.n * 2 > t.capacity && t.n * 5 <= t.capacity * 4 + 5); /* never full, seldom half empty */
        for (uint64_t i = N; i < 2 * N; i++)
            CHECK(!table_has(&t, (TableKey){{spread(i), spread(~i)}}));
        table_free(&t);
        CHECK(!t.n && t.kind == kind && !table_has(&t, table_key(spread(1))));
    }
}

TEST(table_keeps_values_and_numbers)
{
    enum { N = 5000 };
    Table values = {.kind = TABLE_64}, numbers = {.kind = TABLE_128};
    size_t number;
    bool is_new;
    for (uint64_t round = 0; round < 3; round++)
        for (uint64_t i = 0; i < N; i++) {
            uint64_t *value;
            REQUIRE_OK(table_at(&values, table_key(spread(i)), &value));
            CHECK(*value == (round ? i + round : 0));
            *value = i + round + 1;
            REQUIRE_OK(table_number(&numbers, (TableKey){{spread(i), i}}, &number, &is_new));
            CHECK(number == i && is_new == !round);
        }
    CHECK(table_value(&values, table_key(spread(7))) == 10 && !table_value(&values, table_key(spread(N))));
    CHECK(table_value(&numbers, (TableKey){{spread(7), 7}}) == 8 && !table_value(&numbers, (TableKey){{spread(7), 8}}));
    CHECK_INT(values.n, N);
    CHECK_INT(numbers.n, N);
    table_free(&values);
    table_free(&numbers);
}

/* 0 marks empty slots, and the last slot is followed by the first. */
TEST(table_takes_the_keys_at_both_ends)
{
    static const uint64_t ENDS[] = {0, 1, 2, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 2};
    enum { N = sizeof ENDS / sizeof *ENDS };
    for (TableKind kind = 0; kind < N_TABLE_KINDS; kind++) {
        Table t = {.kind = kind};
        bool added;
        for (int i = 0; i < N; i++) {
            REQUIRE_OK(table_add(&t, table_key(ENDS[i]), &added));
            CHECK_MSG(added == (kind != TABLE_SET || i != 1), "kind %d, key %d", (int)kind, i); /* of a set 0 is 1 */
        }
        for (int i = 0; i < N; i++)
            CHECK_MSG(table_has(&t, table_key(ENDS[i])), "kind %d, key %d", (int)kind, i);
        CHECK(!table_has(&t, table_key(3)) && !table_has(&t, table_key(UINT64_MAX - 3)));
        CHECK_INT(t.n, kind == TABLE_SET ? N - 1 : N);
        table_free(&t);
    }
}

/* Things whose hashes are equal lie under keys that follow each other. */
TEST(table_goes_on_with_the_next_key)
{
    Table t = {.kind = TABLE_64};
    TableKey key = table_key(UINT64_MAX);
    for (uint64_t i = 1; i <= 3; i++, key = table_next(key)) {
        uint64_t *value;
        REQUIRE_OK(table_at(&t, key, &value));
        *value = i;
    }
    CHECK(table_value(&t, table_key(UINT64_MAX)) == 1 && table_value(&t, table_key(0)) == 2 && table_value(&t, table_key(1)) == 3);
    CHECK(!table_value(&t, key));
    table_free(&t);
}
