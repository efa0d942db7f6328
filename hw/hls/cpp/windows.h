// Windows of a map, as the kinds MAX, AVERAGE, DIGITS and TAPS walk them.
#ifndef GATEWRIGHT_WINDOWS_H
#define GATEWRIGHT_WINDOWS_H

#include "sizes.h"
#include "units.h"

// Whether operands go together that all these kinds have; `most`: the edge of the largest window.
inline bool window_rules(const Epilogue &epilogue, int most) {
    if (epilogue.tile != 1 || epilogue.tile_table != NO_TABLE || epilogue.filter_table != NO_TABLE) return false;
    if (epilogue.only != ONLY_ALWAYS || !epilogue_rules(epilogue, 0, 0)) return false;
    if (epilogue.window == 0 || epilogue.window > most || epilogue.step == 0) return false;
    return epilogue.inset < epilogue.window;
}

// Output pixels of the instruction.
inline int window_pixels(const Epilogue &epilogue) {
    return clamp((int)epilogue.tile_count - (int)epilogue.first_pixel, epilogue.pixel_count);
}

// (y, x) in the output map of a pixel of the instruction.
inline Place window_pixel(const Epilogue &epilogue, int pixel) {
    const int width = epilogue.out_width == 0 ? 1 : (int)epilogue.out_width;
    const int number = (int)epilogue.first_tile + (int)epilogue.first_pixel + pixel;
    Place place = {number / width, number % width};
    return place;
}

// The number of place (row, column) of the map that is read, or -1 outside of it.
inline int source_place(const Epilogue &epilogue, int y, int x) {
    const int height = epilogue.source_height, width = epilogue.source_width;
    return y < 0 || y >= height || x < 0 || x >= width ? -1 : y * width + x;
}

#endif
