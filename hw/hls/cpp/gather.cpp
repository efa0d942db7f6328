// GATHER, the dynamic index module: the bytes under a kernel become im2col vectors of the tiles that a table lists.
#include "arithmetic.h"
#include "sizes.h"
#include "units.h"

// The instruction's operands and effective sizes, as plain numbers.
struct Shape {
    int channels, pitch, dilation, kernel_width, low, high;
};

// Scratchpad address of an input pixel, or -1 where zeros are read.
static int pixel_address(const Gather &gather, int pitch, int y, int x) {
    const int height = gather.height, width = gather.width, mask = gather.source_mask;
    if (y < 0 || y >= height || x < 0 || x >= width) return -1;
    if (mask != NO_MASK) {
        const int edge = gather.source_tile, bit = y / edge * (int)gather.source_grid + x / edge;
        if (!masks[mask * MASK_BITS + bit]) return -1;
    }
    return ring_address((int64_t)gather.source + (int64_t)(y * width + x) * pitch, y, gather.wrap_row,
                        gather.wrap_bytes);
}

// Whether the mask exists, and a bit of it for each tile of the input map.
static bool check_mask(const Gather &gather) {
    if (gather.source_mask == NO_MASK) return true;
    const int edge = gather.source_tile, grid = gather.source_grid, height = gather.height, width = gather.width;
    if (gather.source_mask >= MASKS || gather.kernel_width > MASK_COLUMNS) return false;
    if (edge == 0 || grid == 0) return false;
    const int last_y = height == 0 ? 0 : (height - 1) / edge, last_x = width == 0 ? 0 : (width - 1) / edge;
    return last_y * grid + last_x < MASK_BITS;
}

// One vector: elements low to high of the kernel at (top, left), into words `vectors` apart from `word` on.
static bool form_vector(const Gather &gather, const Shape &shape, int top, int left, int word, int vectors) {
    const int first = shape.low / shape.channels, behind = ceil_div(shape.high, shape.channels);
    int lane = 0;
places:
    for (int place = first; place < behind; place++) {
        const int y = top + place / shape.kernel_width * shape.dilation;
        const int x = left + place % shape.kernel_width * shape.dilation;
        const int address = pixel_address(gather, shape.pitch, y, x), k = place * shape.channels;
        if (address >= 0 && !in_scratchpad(address, shape.channels)) return false;
        const int begin = shape.low > k ? shape.low - k : 0;
        const int end = shape.high < k + shape.channels ? shape.high - k : shape.channels;
    channels:
        for (int c = begin; c < end; c++) {
#pragma HLS PIPELINE II=1
            patches[word][lane] = address < 0 ? (int8_t)0 : scratchpad[address + c];
            if (++lane == ROWS) {
                lane = 0;
                word += vectors;
            }
        }
    }
padding:
    for (; lane != 0 && lane < ROWS; lane++) {
#pragma HLS PIPELINE II=1
        patches[word][lane] = 0;
    }
    return true;
}

int run_gather(const Gather &gather) {
    const int tile = gather.tile, tile_table = gather.tile_table, first_tile = gather.first_tile;
    int tiles, filters;
    Shape shape;
    if (tile == 0 || !bounded(tile_table, first_tile, gather.tile_count, tiles)) return ERROR_ILLEGAL_OPERANDS;
    if (!count_or(gather.channel_table, gather.channels, shape.channels)) return ERROR_ILLEGAL_OPERANDS;
    if (!bounded(gather.filter_table, gather.first_filter, 1, filters)) return ERROR_ILLEGAL_OPERANDS;
    if (!check_mask(gather)) return ERROR_ILLEGAL_OPERANDS;
    const int vectors = tiles * tile * tile * filters, region = gather.patch_vectors;
    shape.kernel_width = gather.kernel_width;
    shape.pitch = gather.pixel_channels == 0 ? shape.channels : (int)gather.pixel_channels;
    shape.dilation = gather.dilation == 0 ? 1 : (int)gather.dilation;
    const int row_elements = shape.kernel_width * shape.channels;
    const int reduction = (int)gather.kernel_height * row_elements;
    shape.low = (int)gather.first_slice * ROWS;
    shape.high = shape.low + (int)gather.slice_count * ROWS;
    if (shape.high > reduction) shape.high = reduction;
    if (vectors == 0 || shape.high <= shape.low) return ERROR_NONE;
    const bool apart = gather.pixel_channels != 0 || gather.dilation > 1;
    if (apart && shape.kernel_width > 1 && shape.low % row_elements != 0) return ERROR_ILLEGAL_OPERANDS;
    const int slices = ceil_div(shape.high - shape.low, ROWS), base = (int)gather.patch_base * REGION_UNIT;
    if (vectors > region || base + (slices - 1) * region + vectors - 1 >= PATCH_WORDS) return ERROR_ILLEGAL_OPERANDS;
    const int grid = grid_columns(gather.out_width, tile), stride = gather.stride;
vectors:
    for (int vector = 0; vector < vectors; vector++) {
        const Place place = place_of(tile_table, first_tile, tile, grid, vector);
        const int top = place.y * stride - (int)gather.padding_y, left = place.x * stride - (int)gather.padding_x;
        if (!form_vector(gather, shape, top, left, base + vector, region)) return ERROR_ILLEGAL_OPERANDS;
    }
    return ERROR_NONE;
}
