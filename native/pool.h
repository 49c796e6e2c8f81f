// A pool of threads that share work.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace drrn {

class Pool {
   public:
    // threads: at least 1; the caller of `run` is one of them.
    explicit Pool(std::size_t threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    std::size_t threads() const { return workers_.size() + 1; }

    // work(part, thread) for every part in [0, parts), each once, in any order; returns when all are done.
    // Concurrent calls wait for each other. `work` must not throw. In a process forked from the one that made the pool,
    // where its threads do not exist, the caller does all parts, without a lock.
    void run(std::size_t parts, const std::function<void(std::size_t, std::size_t)>& work);

    // Whether this process was forked from the one that made the pool.
    bool is_inherited() const;

   private:
    const long process_;
    void serve(std::size_t thread);
    void share(std::size_t thread, std::unique_lock<std::mutex>& lock);

    std::mutex turn_, mutex_;
    std::condition_variable begun_, ended_;
    const std::function<void(std::size_t, std::size_t)>* work_ = nullptr;
    std::size_t parts_ = 0, next_ = 0;
    std::atomic<std::size_t> done_{0}, round_{0};
    std::atomic<bool> closing_{false};
    std::vector<std::thread> workers_;
};

// Leaks an inherited pool: destroying it would wait forever for threads that do not exist here.
struct PoolDeleter {
    void operator()(Pool* pool) const {
        if (!pool->is_inherited()) delete pool;
    }
};

}  // namespace drrn
