// C simulation: runs the machine on jobs and writes what each leaves.
//
//   csim [--quiet] JOB...      a job is a folder; - reads their names from standard input, a line each
//
// A job has `start`, lines of a name and numbers: the top's arguments, and `logits NAME ADDRESS COUNT` for each output
// to print; and `dram`, the bytes of DRAM. Written are `result` (lines of a name and a number), `dram.out`,
// `scratchpad.out`, `masks.out` (a byte a bit) and `tables.out` (of each table the count, then all entries, 16 bits
// each). With `dram.expected` or `scratchpad.expected` those are compared. The exit code is 1 if the machine stopped
// with an error, or a comparison failed; 2 if a job cannot be read or written.
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "memories.h"
#include "top.h"

struct Logits {
    std::string name;
    uint64_t address, count;
};

struct Job {
    std::string folder;
    std::map<std::string, uint32_t> start;
    std::vector<Logits> logits;
    std::vector<uint8_t> dram;
};

static const char *const ARGUMENTS[] = {"code_address", "boot_count",    "images",        "input_offset",
                                        "input_stride", "input_slots",   "output_offset", "output_stride",
                                        "output_slots", "instruction_limit"};

static void fail(const std::string &message) {
    std::cerr << "csim: " << message << std::endl;
    exit(2);
}

static bool read_bytes(const std::string &path, std::vector<uint8_t> &bytes) {
    std::ifstream file(path.c_str(), std::ios::binary);
    if (!file) return false;
    bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    return true;
}

static void write_bytes(const std::string &path, const void *bytes, size_t count) {
    std::ofstream file(path.c_str(), std::ios::binary);
    file.write((const char *)bytes, count);
    if (!file) fail("cannot write " + path);
}

static Job read_job(const std::string &folder) {
    Job job;
    job.folder = folder;
    for (const char *name : ARGUMENTS) job.start[name] = 0;
    std::ifstream file((folder + "/start").c_str());
    if (!file) fail("there is no " + folder + "/start; `gatewright hls --program` writes it");
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream words(line);
        std::string name;
        words >> name;
        if (name == "logits") {
            Logits one;
            words >> one.name >> one.address >> one.count;
            job.logits.push_back(one);
        } else if (job.start.count(name)) {
            words >> job.start[name];
        } else {
            fail(folder + "/start: there is no argument " + name);
        }
        if (!words) fail(folder + "/start: no number in the line: " + line);
    }
    if (!read_bytes(folder + "/dram", job.dram)) fail("there is no " + folder + "/dram");
    job.dram.resize((job.dram.size() + BEAT_BYTES - 1) / BEAT_BYTES * BEAT_BYTES);
    return job;
}

// What the machine leaves undefined at its start is zero here, as in the simulator: so jobs do not depend on others.
static void forget() {
    for (int i = 0; i < SCRATCHPAD_BYTES; i++) scratchpad[i] = 0;
    for (int word = 0; word < PATCH_WORDS; word++)
        for (int row = 0; row < ROWS; row++) patches[word][row] = 0;
    for (int word = 0; word < WEIGHT_WORDS; word++)
        for (int row = 0; row < ROWS; row++) weights[word][row] = 0;
    for (int i = 0; i < ACCUMULATOR_BANKS * ACCUMULATOR_DEPTH; i++)
        for (int lane = 0; lane < COLUMNS; lane++) accumulators[i / ACCUMULATOR_DEPTH][i % ACCUMULATOR_DEPTH][lane] = 0;
    for (int entry = 0; entry < PARAMETER_ENTRIES; entry++) parameters[entry] = Parameter();
    for (int i = 0; i < TABLES * TABLE_ENTRIES; i++) tables[i / TABLE_ENTRIES][i % TABLE_ENTRIES] = 0;
}

static void write_tables(const std::string &path) {
    std::vector<uint16_t> words;
    for (int table = 0; table < TABLES; table++) {
        words.push_back(table_counts[table]);
        words.insert(words.end(), tables[table], tables[table] + TABLE_ENTRIES);
    }
    write_bytes(path, words.data(), 2 * words.size());
}

// Bytes that are not as expected; 0 if nothing is.
static size_t compare(const std::string &path, const uint8_t *bytes, size_t count, bool quiet) {
    std::vector<uint8_t> expected;
    if (!read_bytes(path, expected)) return 0;
    size_t wrong = expected.size() > count ? expected.size() - count : 0;
    for (size_t i = 0; i < expected.size() && i < count; i++) wrong += bytes[i] != expected[i];
    if (!quiet) std::cout << path << ": " << wrong << " of " << expected.size() << " bytes differ" << std::endl;
    return wrong;
}

static void print_logits(Job &job) {
    for (uint32_t image = 0; image < (job.start["images"] ? job.start["images"] : 1); image++) {
        const uint32_t slots = job.start["output_slots"], number = slots ? image % slots : image;
        const uint32_t place = job.start["output_offset"] + number * job.start["output_stride"];
        for (const Logits &one : job.logits) {
            std::cout << "image " << image << ' ' << one.name << ':';
            for (uint64_t i = 0; i < one.count; i++) {
                const uint64_t at = (uint32_t)(one.address + place) + LOGIT_BYTES * i;
                if (at + LOGIT_BYTES > job.dram.size())
                    fail(job.folder + "/start: logits " + one.name + " lie beyond DRAM");
                const uint8_t *b = &job.dram[at];
                std::cout << ' ' << (int32_t)(b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24);
            }
            std::cout << '\n';
        }
    }
}

// Run a job; whether it ended without an error, and as expected.
static bool run(Job &job, bool quiet) {
    std::vector<Beat> memory(job.dram.size() / BEAT_BYTES);
    for (size_t beat = 0; beat < memory.size(); beat++)
        memory[beat] = pack((const int8_t *)&job.dram[beat * BEAT_BYTES]);
    forget();
    std::map<std::string, uint32_t> &with = job.start;
    uint32_t error_code, error_instruction, error_entry, error_turn, instructions_run, image;
    const std::clock_t begin = std::clock();
    gatewright(memory.data(), job.dram.size(), with["code_address"], with["boot_count"], with["images"],
               with["input_offset"], with["input_stride"], with["input_slots"], with["output_offset"],
               with["output_stride"], with["output_slots"], with["instruction_limit"], &error_code, &error_instruction,
               &error_entry, &error_turn, &instructions_run, &image);
    const double seconds = (double)(std::clock() - begin) / CLOCKS_PER_SEC;
    for (size_t beat = 0; beat < memory.size(); beat++)
        unpack(memory[beat], (int8_t *)&job.dram[beat * BEAT_BYTES]);
    std::ofstream result((job.folder + "/result").c_str());
    result << "error_code " << error_code << "\nerror_instruction " << error_instruction << "\nerror_entry "
           << error_entry << "\nerror_turn " << error_turn << "\ninstructions_run " << instructions_run << "\nimage "
           << image << "\nmicroseconds " << (uint64_t)(1e6 * seconds) << '\n';
    result.close();
    if (!result) fail("cannot write " + job.folder + "/result");
    write_bytes(job.folder + "/dram.out", job.dram.data(), job.dram.size());
    write_bytes(job.folder + "/scratchpad.out", scratchpad, sizeof scratchpad);
    std::vector<uint8_t> bits(masks, masks + MASKS * MASK_BITS);
    write_bytes(job.folder + "/masks.out", bits.data(), bits.size());
    write_tables(job.folder + "/tables.out");
    if (error_code != ERROR_NONE) {
        std::cerr << job.folder << ": stopped with error code " << error_code << " at instruction " << error_turn
                  << " of image " << image << ", entry " << error_entry << std::endl;
        return false;
    }
    if (!quiet) {
        print_logits(job);
        std::cout << instructions_run << " instructions, " << image << " images, " << seconds << " s" << std::endl;
    }
    const uint8_t *bytes = (const uint8_t *)scratchpad;
    const size_t wrong = compare(job.folder + "/dram.expected", job.dram.data(), job.dram.size(), quiet);
    return wrong + compare(job.folder + "/scratchpad.expected", bytes, sizeof scratchpad, quiet) == 0;
}

int main(int count, char **arguments) {
    bool quiet = false, good = true;
    std::vector<std::string> folders;
    for (int i = 1; i < count; i++) {
        const std::string argument = arguments[i];
        if (argument == "--quiet") quiet = true;
        else if (argument == "-")
            for (std::string line; std::getline(std::cin, line);) folders.push_back(line);
        else folders.push_back(argument);
    }
    if (folders.empty()) fail("no job; give a folder with `start` and `dram`");
    for (const std::string &folder : folders) {
        Job job = read_job(folder);
        good = run(job, quiet) && good;
    }
    return good ? 0 : 1;
}
