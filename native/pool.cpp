#include "pool.h"

#include <system_error>
#include <thread>

#ifndef _WIN32
#include <unistd.h>
#endif

namespace drrn {
namespace {

// Polls before a thread goes to sleep: first for a few microseconds, keeping its CPU, then for about a millisecond,
// yielding it. Layers follow each other faster than a sleeping thread wakes up: a thread that slept after each layer
// would wake only after the others had done its part, and never catch up.
constexpr int kLooks = 2000;
constexpr int kYields = 2000;

inline void breathe() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <typename Condition>
void look(const Condition& waiting) {
    for (int i = 0; i < kLooks && waiting(); ++i) breathe();
    for (int i = 0; i < kYields && waiting(); ++i) std::this_thread::yield();
}

long this_process() {
#ifdef _WIN32
    return 0;  // Windows has no fork
#else
    return static_cast<long>(getpid());
#endif
}

}  // namespace

bool Pool::is_inherited() const { return process_ != this_process(); }

Pool::Pool(std::size_t threads) : process_(this_process()) {
    try {
        for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(i); });
    } catch (const std::system_error&) {
        // fewer threads than asked for compute the same
    }
}

Pool::~Pool() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
        ++round_;
    }
    begun_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void Pool::run(std::size_t parts, const std::function<void(std::size_t, std::size_t)>& work) {
    if (!parts) return;
    if (is_inherited()) {  // a thread that was not forked may hold a lock here
        for (std::size_t part = 0; part < parts; ++part) work(part, 0);
        return;
    }
    std::lock_guard<std::mutex> mine(turn_);
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = &work, parts_ = parts, next_ = 0, done_ = 0;
    if (parts > 1 && !workers_.empty()) {
        ++round_;
        begun_.notify_all();
    }
    share(0, lock);
    lock.unlock();
    look([&] { return done_ != parts; });
    lock.lock();
    ended_.wait(lock, [this] { return done_ == parts_; });
    work_ = nullptr;
}

void Pool::serve(std::size_t thread) {
    std::size_t seen = 0;
    for (;;) {
        look([&] { return round_ == seen; });
        std::unique_lock<std::mutex> lock(mutex_);
        begun_.wait(lock, [&] { return round_ != seen; });
        seen = round_;
        if (closing_) return;
        share(thread, lock);
    }
}

void Pool::share(std::size_t thread, std::unique_lock<std::mutex>& lock) {
    while (work_ && next_ < parts_) {
        const std::size_t part = next_++;
        const auto* work = work_;
        lock.unlock();
        (*work)(part, thread);
        lock.lock();
        if (++done_ == parts_) ended_.notify_all();
    }
}

}  // namespace drrn
