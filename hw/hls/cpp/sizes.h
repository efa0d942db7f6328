// Effective counts: what the index tables leave of the sizes that an instruction names. A function that returns bool
// returns false if a table is not there, or if nothing has written it.
#ifndef GATEWRIGHT_SIZES_H
#define GATEWRIGHT_SIZES_H

#include "memories.h"

// Of `left` entries or elements those that an instruction takes, `limit` at most.
inline int clamp(int left, int limit) { return left < 0 ? 0 : left < limit ? left : limit; }

// The table's count, or `otherwise` if none is named.
inline bool count_or(int table, int otherwise, int &count) {
    count = otherwise;
    if (table == NO_TABLE) return true;
    if (table >= TABLES || !table_written[table]) return false;
    count = table_counts[table];
    return true;
}

// Entries from `first` on, `limit` at most; all of `limit` if no table is named.
inline bool bounded(int table, int first, int limit, int &entries) {
    int count;
    if (!count_or(table, first + limit, count)) return false;
    entries = clamp(count - first, limit);
    return true;
}

// Filters from `first` on, `limit` at most; none if `only` says so.
inline bool listed_filters(int table, int first, int limit, int only, int &filters) {
    if (!bounded(table, first, limit, filters)) return false;
    if ((only == ONLY_ALL && filters < limit) || (only == ONLY_FEWER && filters == limit)) filters = 0;
    return true;
}

// Vectors of a chunk of tiles, from `first_pixel` on, `limit` at most.
inline int chunk_pixels(int tiles, int tile, int first_pixel, int limit) {
    return clamp(tiles * tile * tile - first_pixel, limit);
}

// The filter at a position of a table, or the position itself.
inline int filter_at(int table, int position) { return table == NO_TABLE ? position : (int)tables[table][position]; }

struct Place {
    int y, x;
};

// Where vector `number` of a list of tiles lies in the output map: raster inside a tile, tiles from a table or in a
// raster of `grid_columns` columns.
inline Place place_of(int table, int first_tile, int tile, int grid_columns, int number) {
    const int position = first_tile + number / (tile * tile), inside = number % (tile * tile);
    int tile_y = position / grid_columns, tile_x = position % grid_columns;
    if (table != NO_TABLE) {
        tile_y = tables[table][position] >> COORDINATE_BITS;
        tile_x = tables[table][position] & COORDINATE_MASK;
    }
    Place place = {tile_y * tile + inside / tile, tile_x * tile + inside % tile};
    return place;
}

// Columns of the grid of tiles that covers a map.
inline int grid_columns(int width, int tile) { return width == 0 ? 1 : (width + tile - 1) / tile; }

#endif
