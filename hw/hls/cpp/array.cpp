// MATMUL: a block of one operand's vectors stands still, a slice of ROWS elements at a time; the other's stream past.
#include "arithmetic.h"
#include "sizes.h"
#include "units.h"

// The instruction's operands and effective sizes, as plain numbers.
struct Product {
    int pixels, filters, slices, reduction;
    int patch_word, patch_vectors, weight_word, weight_vectors;
    int filter_table, first_filter;
    bool in_order, filters_stand;
};

// Words of the first slice of a pixel and of a filter, by their positions in the instruction.
static int patch_word(const Product &product, int pixel) { return product.patch_word + pixel; }

static int weight_vector(const Product &product, int position) {
    return product.in_order ? position : filter_at(product.filter_table, product.first_filter + position);
}

// Whether every word that is read exists.
static bool check_words(const Product &product, int first_pixel) {
    const int last_slice = product.slices - 1;
    if (first_pixel + product.pixels > product.patch_vectors) return false;
    if (patch_word(product, product.pixels - 1) + last_slice * product.patch_vectors >= PATCH_WORDS) return false;
filters:
    for (int position = 0; position < product.filters; position++) {
#pragma HLS PIPELINE II=1
        const int vector = weight_vector(product, position);
        if (vector >= product.weight_vectors) return false;
        if (product.weight_word + last_slice * product.weight_vectors + vector >= WEIGHT_WORDS) return false;
    }
    return true;
}

// Copy slice `slice` of the vector at a position of one operand.
static void fetch(const Product &product, bool filter, int position, int slice, int8_t operand[ROWS]) {
#pragma HLS INLINE
    if (filter) {
        const int word = product.weight_word + weight_vector(product, position) + slice * product.weight_vectors;
        for (int row = 0; row < ROWS; row++) operand[row] = weights[word][row];
    } else {
        const int word = patch_word(product, position) + slice * product.patch_vectors;
        for (int row = 0; row < ROWS; row++) operand[row] = patches[word][row];
    }
}

// A block of `count` standing vectors from `first` on, one slice: add to, or begin, the entries from `entry` on.
static void multiply(const Product &product, int bank, int entry, int first, int count, int slice, bool add) {
    const int streamed = product.filters_stand ? product.pixels : product.filters;
    const bool zero = product.reduction == 0;  // every channel is off: the operands say nothing
    int8_t standing[COLUMNS][ROWS];
#pragma HLS ARRAY_PARTITION variable=standing complete dim=0
preload:
    for (int lane = 0; lane < count; lane++) {
#pragma HLS PIPELINE II=1
        if (!zero) fetch(product, product.filters_stand, first + lane, slice, standing[lane]);
    }
stream:
    for (int time = 0; time < streamed; time++) {
#pragma HLS PIPELINE II=1
        int8_t passing[ROWS];
        if (!zero) fetch(product, !product.filters_stand, time, slice, passing);
        for (int lane = 0; lane < count; lane++) {
            // Unsigned, for sums wrap around.
            uint32_t sum = add ? (uint32_t)accumulators[bank][entry + time][lane] : 0;
            if (!zero)
                for (int row = 0; row < ROWS; row++) sum += (uint32_t)((int)standing[lane][row] * (int)passing[row]);
            accumulators[bank][entry + time][lane] = (int32_t)sum;
        }
    }
}

int run_matmul(const Matmul &matmul) {
    const int tile = matmul.tile, only = matmul.only, first_pixel = matmul.first_pixel;
    Product product;
    product.filter_table = matmul.filter_table;
    product.first_filter = matmul.first_filter;
    product.in_order = matmul.in_order;
    product.filters_stand = matmul.stationary == STATIONARY_FILTERS;
    if (only > ONLY_FEWER || tile == 0) return ERROR_ILLEGAL_OPERANDS;
    if (product.in_order && product.filter_table == NO_TABLE) return ERROR_ILLEGAL_OPERANDS;
    int tiles, channels;
    if (!bounded(matmul.tile_table, matmul.first_tile, matmul.tile_count, tiles)) return ERROR_ILLEGAL_OPERANDS;
    if (!listed_filters(product.filter_table, product.first_filter, matmul.filter_count, only, product.filters))
        return ERROR_ILLEGAL_OPERANDS;
    if (!count_or(matmul.channel_table, matmul.channels, channels)) return ERROR_ILLEGAL_OPERANDS;
    product.pixels = chunk_pixels(tiles, tile, first_pixel, matmul.pixel_count);
    product.reduction = (int)matmul.taps * channels;
    const int all = product.reduction == 0 ? 1 : ceil_div(product.reduction, ROWS);
    product.slices = clamp(all - (int)matmul.first_slice, matmul.slice_count);
    if (product.pixels == 0 || product.filters == 0 || product.slices == 0) return ERROR_NONE;
    product.patch_vectors = matmul.patch_vectors;
    product.patch_word = (int)matmul.patch_base * REGION_UNIT + first_pixel;
    product.weight_vectors = matmul.weight_vectors;
    product.weight_word = (int)matmul.weight_base * REGION_UNIT;
    const int still = product.filters_stand ? product.filters : product.pixels;
    const int streamed = product.filters_stand ? product.pixels : product.filters;
    const int first_entry = matmul.accumulator, bank = matmul.bank;
    if (first_entry + ceil_div(still, COLUMNS) * streamed > ACCUMULATOR_DEPTH) return ERROR_ILLEGAL_OPERANDS;
    if (product.reduction > 0 && !check_words(product, first_pixel)) return ERROR_ILLEGAL_OPERANDS;
blocks:
    for (int first = 0; first < still; first += COLUMNS) {
        const int count = still - first < COLUMNS ? still - first : COLUMNS;
    slices:
        for (int slice = 0; slice < product.slices; slice++)
            multiply(product, bank, first_entry + first / COLUMNS * streamed, first, count, slice,
                     matmul.accumulate || slice > 0);
    }
    return ERROR_NONE;
}
