// EPILOGUE: which kind it is, and the rules and sizes that kinds share.
#include "arithmetic.h"
#include "sizes.h"
#include "units.h"

bool epilogue_rules(const Epilogue &epilogue, int pixels, int filters) {
    const int kind = epilogue.kind, tile = epilogue.tile;
    const bool filters_stand = epilogue.stationary == STATIONARY_FILTERS;
    const bool plain = kind == KIND_STORE && filters_stand;
    const bool sums = kind == KIND_REDUCE || kind == KIND_REDUCE_RAW;
    if (epilogue.only > ONLY_FEWER) return false;
    if (epilogue.pool) {
        const int area = tile * tile, first_pixel = epilogue.first_pixel;
        if (!plain || pixels % area || first_pixel % area || epilogue.parameters == 0) return false;
    }
    if (epilogue.residual && !plain) return false;
    if (epilogue.elsewhere && !epilogue.residual) return false;
    if (epilogue.upsample != 0 && !epilogue.elsewhere) return false;
    if (epilogue.compact && epilogue.filter_table == NO_TABLE) return false;
    if ((sums || kind > KIND_THRESHOLD) && !filters_stand) return false;
    if (epilogue.digits) {
        if (!sums) return false;
        if (pixels != 2 && pixels > 0 && filters > 0) return false;
    }
    if (kind == KIND_THRESHOLD && (filters_stand ? pixels : filters) > 1) return false;
    return true;
}

// Whether the entries of all filters exist, with shifts that can be taken where the kind requantises.
static bool check_parameters(const Epilogue &epilogue, int filters) {
    const int table = epilogue.filter_table, first = epilogue.first_filter, base = epilogue.parameters;
    const bool requantises = epilogue.kind == KIND_STORE || epilogue.kind == KIND_REDUCE;
check:
    for (int j = 0; j < filters; j++) {
#pragma HLS PIPELINE II=1
        const int entry = base + filter_at(table, first + j);
        if (entry >= PARAMETER_ENTRIES) return false;
        if (requantises && !shifts(parameters[entry])) return false;
    }
    return true;
}

// The kinds that read accumulators as a MATMUL left them: STORE, REDUCE, REDUCE_RAW, THRESHOLD.
static bool epilogue_products(const Epilogue &epilogue) {
    const int tile = epilogue.tile, kind = epilogue.kind;
    int tiles, filters;
    if (tile == 0 || !bounded(epilogue.tile_table, epilogue.first_tile, epilogue.tile_count, tiles)) return false;
    if (!listed_filters(epilogue.filter_table, epilogue.first_filter, epilogue.filter_count, epilogue.only, filters))
        return false;
    const int pixels = chunk_pixels(tiles, tile, epilogue.first_pixel, epilogue.pixel_count);
    if (!epilogue_rules(epilogue, pixels, filters)) return false;
    if (pixels == 0 || filters == 0) return true;
    const bool filters_stand = epilogue.stationary == STATIONARY_FILTERS;
    const int still = filters_stand ? filters : pixels, streamed = filters_stand ? pixels : filters;
    if ((int)epilogue.accumulator + ceil_div(still, COLUMNS) * streamed > ACCUMULATOR_DEPTH) return false;
    if (!check_parameters(epilogue, filters)) return false;
    if (kind == KIND_STORE) return epilogue_store(epilogue, pixels, filters);
    if (kind == KIND_THRESHOLD) return epilogue_threshold(epilogue, pixels, filters);
    return epilogue_sums(epilogue, pixels, filters);
}

int run_epilogue(const Epilogue &epilogue) {
    bool legal;
    switch ((int)epilogue.kind) {
    case KIND_STORE:
    case KIND_REDUCE:
    case KIND_REDUCE_RAW:
    case KIND_THRESHOLD: legal = epilogue_products(epilogue); break;
    case KIND_TAPS: legal = epilogue_taps(epilogue); break;
    case KIND_DEPTHWISE: legal = HAS_DEPTHWISE && epilogue_depthwise(epilogue); break;
    case KIND_MAX:
    case KIND_AVERAGE:
    case KIND_DIGITS: legal = epilogue_windows(epilogue); break;
    default: legal = false;
    }
    return legal ? ERROR_NONE : ERROR_ILLEGAL_OPERANDS;
}
