// INDEX: the positions of a mask's ones, or of its zeros, become a table.
#include "memories.h"
#include "units.h"

int run_index(const Index &index) {
    const int table = index.table, bits = index.bits, grid = index.grid_width, from = index.first_bit;
    const bool wanted = !index.complement;
    if (table >= TABLES || index.mask >= MASKS) return ERROR_ILLEGAL_OPERANDS;
    const int first = (int)index.mask * MASK_BITS;
    if (first + bits > MASKS * MASK_BITS) return ERROR_ILLEGAL_OPERANDS;
    // Row and column are counted along, since a grid's width is any number.
    int count = 0, y = 0, x = 0;
list:
    for (int bit = 0; bit < bits; bit++) {
#pragma HLS PIPELINE II=1
        if (bit >= from && masks[first + bit] == wanted) {
            if (count == TABLE_ENTRIES) return ERROR_ILLEGAL_OPERANDS;
            if (grid > 0 && (y > COORDINATE_MASK || x > COORDINATE_MASK)) return ERROR_ILLEGAL_OPERANDS;
            tables[table][count++] = (uint16_t)(grid > 0 ? y << COORDINATE_BITS | x : bit);
        }
        if (++x == grid) {
            x = 0;
            y++;
        }
    }
    table_counts[table] = (uint16_t)count;
    table_written[table] = true;
    return ERROR_NONE;
}
