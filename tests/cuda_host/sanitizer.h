/* sanitizer.h: tells the address sanitizer about fibers and red zones; nothing without it. */
#ifndef GENLLAVA_TESTS_CUDA_HOST_SANITIZER_H
#define GENLLAVA_TESTS_CUDA_HOST_SANITIZER_H

#include <boost/context/stack_context.hpp>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

inline void sanitizer_forbid(const void *p, size_t n) { __asan_poison_memory_region(p, n); }
inline void sanitizer_allow(const void *p, size_t n) { __asan_unpoison_memory_region(p, n); }

/* The stack of a fiber, or of the scheduler, and the sanitizer's fake stack that belongs to it. `a.leave_for(&b)` is called on b's stack
 * just before switching to a; `b.arrive()` just after coming back to b. */
struct FiberSwitch {
    const void *bottom = nullptr;
    size_t size = 0;
    void *fake = nullptr;

    void set_stack(const boost::context::stack_context &s)
    {
        bottom = (const char *)s.sp - s.size;
        size = s.size;
        fake = nullptr;
        __asan_unpoison_memory_region(bottom, size); /* of its former life */
    }
    void leave_for(FiberSwitch *from) { __sanitizer_start_switch_fiber(&from->fake, bottom, size); }
    void leave_for_good() { __sanitizer_start_switch_fiber(nullptr, bottom, size); }
    void arrive() { __sanitizer_finish_switch_fiber(fake, nullptr, nullptr); }
    void first_arrival(FiberSwitch *from) { __sanitizer_finish_switch_fiber(nullptr, &from->bottom, &from->size); }
};
#else
inline void sanitizer_forbid(const void *, size_t) {}
inline void sanitizer_allow(const void *, size_t) {}
struct FiberSwitch {
    void set_stack(const boost::context::stack_context &) {}
    void leave_for(FiberSwitch *) {}
    void leave_for_good() {}
    void arrive() {}
    void first_arrival(FiberSwitch *) {}
};
#endif
#endif
