# GenLLaVA: build, test, install. `make help` lists the targets.
#
# Options (make NAME=value); what was built with others is built again:
#   CUDA = auto | 0 | 1 (auto: built in where the toolkit is found)   CUDA_HOME = /usr/local/cuda
#   DEBUG = 0 | 1   SANITIZE = address | thread | fuzzer | (empty)   WERROR = 0 | 1   CC, CXX = the compilers
#   BUILD = build (everything lands there)   PREFIX = /usr/local, DESTDIR (of make install)

CUDA     ?= auto
CUDA_HOME?= /usr/local/cuda
DEBUG    ?= 0
SANITIZE ?=
WERROR   ?= 0
BUILD    ?= build
PREFIX   ?= /usr/local

CC       ?= cc
CXX      ?= c++
# Behind the name genllava, in the order in which it lists them; and programs that only the tree needs.
INSTALLED:= train prepare curate generate evaluate convert inspect report doctor
PROGRAMS := $(INSTALLED) genllava scenes stamps sketches teacher
BENCHES  := bench-kernels bench-pictures bench-conv bench-unet bench-decode
# Programs that a target builds when it needs them.
EXTRAS   := $(BENCHES) model-gpu bench-gpu

# ---------------------------------------------------------------- flags
CPPFLAGS += -I. -D_GNU_SOURCE
WARN     := -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla
CWARN    := -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
OPT      := $(if $(filter 1,$(DEBUG)),-O0 -g3,-O2 -g)
, := ,
SAN_address := -fsanitize=address$(,)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN_thread  := -fsanitize=thread
SAN_fuzzer  := -fsanitize=fuzzer-no-link $(SAN_address) -fno-sanitize=vptr$(,)function
SAN      := $(SAN_$(SANITIZE))
ifeq ($(WERROR),1)
WARN += -Werror
endif
# No contraction into FMA and no fast-math in plain C: the same source gives the same bits on every machine.
CFLAGS   += -std=c11 $(OPT) $(WARN) $(CWARN) -ffp-contract=off -fno-math-errno -fopenmp $(SAN)
CXXFLAGS += -std=c++17 $(OPT) $(WARN) -ffp-contract=off -fopenmp $(SAN)
LDFLAGS  += -fopenmp $(SAN)

# ---------------------------------------------------------------- libraries
# $(BUILD)/probe.mk is made by compiling and linking against each library of tools/libraries.txt.
NEEDS_NO_LIBRARIES := deps clean help test quickstart quickstart-long tour study same format format-check fuzz uninstall dist
ifneq ($(filter-out $(NEEDS_NO_LIBRARIES),$(or $(MAKECMDGOALS),all)),)
-include $(BUILD)/probe.mk
ifneq ($(strip $(MISSING)),)
$(error missing libraries:$(MISSING); `make deps` installs them)
endif
endif
CPPFLAGS += $(LIB_CPPFLAGS)
LIBS     := $(LIB_LIBS) -lstdc++ -lm -lpthread -ldl

$(BUILD)/probe.mk: tools/probe.sh tools/libraries.txt $(BUILD)/probe.flags
	@mkdir -p $(@D)
	@sh tools/probe.sh '$(CC)' '$(CXX) -std=c++17' > $@.new && mv $@.new $@

# $(BUILD)/cuda.mk is made by compiling and linking with the CUDA toolkit. A sanitized build leaves it out.
CUDA_ON := 0
ifneq ($(filter-out $(NEEDS_NO_LIBRARIES),$(or $(MAKECMDGOALS),all)),)
ifneq ($(CUDA),0)
ifeq ($(SANITIZE),)
-include $(BUILD)/cuda.mk
CUDA_ON := $(or $(CUDA_FOUND),0)
ifeq ($(CUDA)$(CUDA_FOUND),10)
$(error CUDA=1, but the toolkit cannot be used; rm $(BUILD)/cuda.mk looks again)
endif
endif
endif
endif
# Ampere, Hopper, and PTX for what comes after. Nothing is contracted into FMA that is not written so: what two kernels compute by the
# same formula (y of a norm, made again in its backward) has the same bits in both, and the same as on the emulation.
NVCC_FLAGS := -std=c++17 -O2 -I. -D_GNU_SOURCE -lineinfo -fmad=false -Xptxas -v \
              -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90,compute_90]

$(BUILD)/cuda.mk: tools/probe_cuda.sh $(BUILD)/probe_cuda.flags
	@mkdir -p $(@D)
	@sh tools/probe_cuda.sh '$(CUDA_HOME)' '$(lastword $(CXX))' > $@.new && mv $@.new $@

# ---------------------------------------------------------------- sources
# Everything but the programs' main files is one library. kernels/cpu/isa/*.c is compiled once for each instruction set, with -DISA=name.
ISAS          := avx2 avx512 avx512bf16
ISA_avx2      := -mavx2 -mfma -mf16c
ISA_avx512    := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c
ISA_avx512bf16:= $(ISA_avx512) -mavx512bf16
main_train    := train/program/main.c
main_prepare  := train/prepare_main.c
main_generate := eval/generate.c
main_evaluate := eval/evaluate.c
main_inspect  := tools/inspect/inspect.c
main_convert  := tools/convert/convert.c
main_curate   := data/curate/curate.c
main_doctor   := tools/doctor/doctor.c
main_genllava := tools/front/genllava.c
main_report   := tools/report/report.c
main_scenes   := tools/worlds/scenes_main.c
main_stamps   := tools/worlds/stamps_main.c
main_sketches := tools/worlds/sketches_main.c
main_teacher  := tools/worlds/teacher_main.c
main_bench-kernels := tools/bench/bench_kernels.c
main_bench-pictures := tools/bench/bench_pictures.c
main_bench-conv := tools/bench/bench_conv.c
main_bench-unet := tools/bench/bench_unet.c
main_bench-decode := tools/bench/bench_decode.c
main_model-gpu := tools/bench/model_gpu.c
main_bench-gpu := tools/bench/bench_gpu.c
MAINS         := $(foreach p,$(PROGRAMS) $(EXTRAS),$(main_$(p)))
LIB_SRC       := $(filter-out $(MAINS),$(wildcard $(addsuffix /*.c,kernels/* data data/* train train/* eval eval/* tools/*)))
LIB_CXX       := $(wildcard data/*/*.cc)
REF_SRC       := $(wildcard kernels/ref/*.c)
ISA_SRC       := $(wildcard kernels/cpu/isa/*.c)
LIB_OBJ       := $(LIB_SRC:%.c=$(BUILD)/obj/%.o) $(LIB_CXX:%.cc=$(BUILD)/obj/%.o) \
                 $(foreach i,$(ISAS),$(ISA_SRC:%.c=$(BUILD)/obj/%.$(i).o)) $(REF_SRC:%.c=$(BUILD)/obj/%.float.o)
TEST_SRC      := $(filter-out tests/fuzz/%,$(wildcard tests/*.c tests/*/*.c tests/*/*/*.c))
TEST_OBJ      := $(TEST_SRC:%.c=$(BUILD)/obj/%.o)
# Parsers that libFuzzer feeds (make fuzz).
FUZZERS       := $(filter-out fuzz,$(notdir $(basename $(wildcard tests/fuzz/*.c))))
FUZZ_OBJ      := $(FUZZERS:%=$(BUILD)/obj/tests/fuzz/%.o)
# kernels/cuda compiled for the host (tests/cuda_host), the kernel tests over it, and, of the test program alone, tests of a whole model.
CUDA_SRC      := $(wildcard kernels/cuda/*.cu)
CUDA_HOST_OBJ := $(CUDA_SRC:%.cu=$(BUILD)/obj/%.host.o) $(foreach o,cuda_host runtime cublasLt cudnn,$(BUILD)/obj/tests/cuda_host/$(o).o)
CUDA_OBJ      := $(if $(filter 1,$(CUDA_ON)),$(CUDA_SRC:%.cu=$(BUILD)/obj/%.o))
CUDA_LIBS     := $(if $(filter 1,$(CUDA_ON)),-L$(CUDA_LIB) -lcudart_static -ldl -lrt)
# The programs that open a device.
CUDA_PROGRAMS := train generate evaluate doctor bench-gpu
KERNEL_TESTS  := $(filter-out %/backends.o,$(filter $(BUILD)/obj/tests/kernels/%,$(TEST_OBJ))) $(BUILD)/obj/tests/harness.o
KERNEL_OBJ    := $(filter $(BUILD)/obj/kernels/%,$(LIB_OBJ)) $(BUILD)/obj/tools/bench/bench_ops.o
CUDA_HOST_TEST:= $(KERNEL_TESTS) $(CUDA_HOST_OBJ) $(KERNEL_OBJ) \
                 $(foreach o,backends convolutions costs counters fp8 large plumbing timing,$(BUILD)/obj/tests/cuda_host/$(o).o)
MODEL_TESTS   := $(foreach o,infer/answer infer/draw large_step models/hashed models/tiny,$(BUILD)/obj/tests/train/$(o).o)

.PHONY: FORCE all help deps test unit run-tests test-long test-gpu asan tsan same check format format-check mutations parity \
        fixtures cuda-host fuzz fuzzers quickstart quickstart-long tour study schema base base-diffusion example-stamps \
        example-curate bench bench-kernels bench-gpu gpu-bundle model-gpu install uninstall deb dist clean
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

all: $(PROGRAMS:%=$(BUILD)/%)

# ---------------------------------------------------------------- flags of the last build
# $(BUILD)/NAME.flags holds what results were made with. It is written, and thereby newer than they are, when that has changed.
FLAGS_probe      := $(CC) $(CXX)
FLAGS_probe_cuda := $(CUDA_HOME) $(CXX)
FLAGS_compile    := $(CC) $(CXX) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS)
FLAGS_nvcc       := $(NVCC) $(CXX) $(NVCC_FLAGS) $(CUDA_LIB)
FLAGS_archive    := $(LIB_OBJ)
FLAGS_link       := $(LDFLAGS) $(LIBS) $(CUDA_OBJ) $(CUDA_LIBS)
FLAGS_tests      := $(TEST_OBJ)
define flags_rule
$(BUILD)/$(1).flags: $(if $(subst x$(strip $(FLAGS_$(1))),,x$(strip $(file <$(BUILD)/$(1).flags))),FORCE)
	@mkdir -p $$(@D)
	@echo '$$(strip $$(FLAGS_$(1)))' > $$@
endef
$(foreach f,probe probe_cuda compile nvcc archive link tests,$(eval $(call flags_rule,$(f))))

# ---------------------------------------------------------------- rules
COMPILED_BY := $(BUILD)/compile.flags
$(BUILD)/obj/%.o: %.c $(COMPILED_BY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/obj/%.o: %.cc $(COMPILED_BY)
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c $< -o $@

# What the program was linked with, for --version.
$(BUILD)/obj/kernels/base/built_with.o: $(BUILD)/probe.mk
$(BUILD)/obj/kernels/base/built_with.o: private CPPFLAGS += -DGENLLAVA_LIBRARIES='"$(LIB_VERSIONS)"'

# CUDA sources as plain C++: tests/cuda_host stands in for the toolkit's headers.
$(BUILD)/obj/%.host.o: %.cu $(COMPILED_BY)
	@mkdir -p $(@D)
	$(CXX) -Itests/cuda_host $(CPPFLAGS) $(CXXFLAGS) -x c++ -MMD -MP -c $< -o $@
$(BUILD)/obj/tests/cuda_host/%.o: CPPFLAGS := -Itests/cuda_host $(CPPFLAGS)

SILENT = $(findstring s,$(filter-out --%,$(firstword $(MAKEFLAGS))))
$(BUILD)/obj/kernels/cuda/%.o: kernels/cuda/%.cu tools/ptxas.sh $(BUILD)/nvcc.flags
	@mkdir -p $(@D)
	@$(if $(SILENT),QUIET=1) sh tools/ptxas.sh kernels/cuda/$* $(if $(findstring ccache,$(CXX)),ccache) $(NVCC) -ccbin $(lastword $(CXX)) \
		$(NVCC_FLAGS) -DCUDA_LIBRARY_FOLDER='"$(CUDA_LIB)"' -MMD -MF $(@:.o=.d) -c $< -o $@

# The specification is compiled twice: with arithmetic in double (the truth) and in float (how much rounding is honest).
$(BUILD)/obj/kernels/ref/%.float.o: kernels/ref/%.c $(COMPILED_BY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -DREF_FLOAT -MMD -MP -c $< -o $@

define isa_rule
$(BUILD)/obj/kernels/cpu/isa/%.$(1).o: kernels/cpu/isa/%.c $(COMPILED_BY)
	@mkdir -p $$(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -O3 -fno-math-errno -fno-trapping-math $(ISA_$(1)) -DISA=$(1) -DISA_$(1)=1 \
		$(ISA_LAST) -MMD -MP -c $$< -o $$@
endef
# Kernels are no parsers, and they take clang long under the sanitizers.
ISA_LAST := $(if $(filter fuzzer,$(SANITIZE)),-O1 -fno-sanitize=all)
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

# Files that the programs carry in themselves.
$(BUILD)/obj/data/built_in.o: configs/requests.json configs/published.json $(wildcard configs/curate/*.json)
$(BUILD)/obj/tools/report/page_files.o: tools/report/page.css tools/report/page.js

# genllava lists the programs, which say themselves what they are for. It is started before each of them: no library that it does not need.
$(BUILD)/programs.txt: tools/front/programs.sh $(INSTALLED:%=$(BUILD)/%)
	@sh tools/front/programs.sh $(BUILD) $(INSTALLED) > $@.new && mv $@.new $@
$(BUILD)/obj/tools/front/genllava.o: $(BUILD)/programs.txt
$(BUILD)/obj/tools/front/genllava.o: private CPPFLAGS += -DGENLLAVA_PROGRAMS='"$(BUILD)/programs.txt"'
$(BUILD)/genllava: private LDFLAGS += -Wl,--as-needed

$(BUILD)/obj/tools/doctor/self_test.o: $(wildcard configs/base/*/*config.json configs/base/diffusion/*/*config.json)

$(BUILD)/libgenllava.a: $(LIB_OBJ) $(BUILD)/archive.flags
	@rm -f $@
	ar rcs $@ $(LIB_OBJ)

LINKED = $(filter %.o %.a,$^)

define program_rule
$(BUILD)/$(1): $(BUILD)/obj/$(main_$(1):.c=.o) $(if $(filter $(1),$(CUDA_PROGRAMS)),$(CUDA_OBJ)) $(BUILD)/libgenllava.a \
               $(BUILD)/link.flags
	$(CC) $$(LDFLAGS) -o $$@ $$(LINKED) $$(LIBS) $(if $(filter $(1),$(CUDA_PROGRAMS)),$(CUDA_LIBS))
endef
$(foreach p,$(PROGRAMS) $(EXTRAS),$(eval $(call program_rule,$(p))))

# What libFuzzer feeds is compiled with the tests, so that it is noticed when an interface has changed.
$(BUILD)/test-unit: $(TEST_OBJ) $(BUILD)/libgenllava.a $(BUILD)/tests.flags $(BUILD)/link.flags | $(FUZZ_OBJ)
	$(CC) $(LDFLAGS) -o $@ $(LINKED) $(LIBS)

# Programs, without the GPU, that can be told which of their requests for memory is refused. Those of libraries are left alone, so these are
# the shared ones.
REFUSABLE     := train prepare generate evaluate inspect convert curate report
REFUSING      := $(REFUSABLE:%=$(BUILD)/refusing-%)
WRAPPED       := calloc realloc mmap _Znwm
define refusing_rule
$(BUILD)/refusing-$(1): $(BUILD)/obj/$(main_$(1):.c=.o) $(BUILD)/obj/tests/refusing/refusing.o $(BUILD)/libgenllava.a $(BUILD)/link.flags
	$(CC) $$(LDFLAGS) $$(WRAPPED:%=-Wl,--wrap=%) -o $$@ $$(LINKED) $$(LIB_SHARED) $$(filter-out $$(LIB_LIBS),$$(LIBS))
endef
$(foreach p,$(REFUSABLE),$(eval $(call refusing_rule,$(p))))

# The programs that open a device, with the emulation as that device.
ON_CUDA_HOST  := $(CUDA_PROGRAMS:%=$(BUILD)/%-cuda-host)
define cuda_host_rule
$(BUILD)/$(1)-cuda-host: $(BUILD)/obj/$(main_$(1):.c=.o) $(CUDA_HOST_OBJ) $(BUILD)/libgenllava.a $(BUILD)/link.flags
	$(CXX) $$(LDFLAGS) -rdynamic -o $$@ $$(LINKED) $$(LIBS) $$(TEST_LIBS)
endef
$(foreach p,$(CUDA_PROGRAMS),$(eval $(call cuda_host_rule,$(p))))

# Stands in for NCCL between ranks on emulated devices (GENLLAVA_NCCL=build/libnccl-host.so); calls the emulation in the program.
$(BUILD)/libnccl-host.so: tests/cuda_host/nccl/nccl.cc $(COMPILED_BY)
	@mkdir -p $(@D)
	$(CXX) -Itests/cuda_host $(CPPFLAGS) $(CXXFLAGS) -fPIC -shared -o $@ $<

$(BUILD)/fuzz-%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/fuzz.o $(BUILD)/libgenllava.a $(BUILD)/link.flags
	$(CXX) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(LINKED) $(LIBS)
.SECONDARY: $(FUZZ_OBJ)

CUDA_DEVICE_TEST := $(KERNEL_TESTS) $(foreach o,backends convolutions large parity,$(BUILD)/obj/tests/cuda_device/$(o).o) \
                    $(BUILD)/obj/tests/train/large_step.o $(BUILD)/obj/tests/train/parity_case.o
$(BUILD)/test-gpu: $(CUDA_DEVICE_TEST) $(CUDA_OBJ) $(BUILD)/libgenllava.a $(BUILD)/link.flags
	$(CXX) $(LDFLAGS) -o $@ $(LINKED) $(LIBS) $(CUDA_LIBS)

# The programs of gpu-bundle, linked anew: what they need lies beside them, for them alone.
BUNDLED       := train generate test-gpu bench-gpu
BUNDLE_FLAGS  := -s -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../lib'
BUNDLE_test-gpu = $(CUDA_DEVICE_TEST)
define bundled_rule
$(BUILD)/gpu-bundle/bin/$(1): $(or $(BUNDLE_$(1)),$(BUILD)/obj/$(main_$(1):.c=.o)) $(CUDA_OBJ) $(BUILD)/libgenllava.a $(BUILD)/link.flags
	@mkdir -p $$(@D)
	$(CXX) $$(LDFLAGS) $$(BUNDLE_FLAGS) -o $$@ $$(LINKED) $$(LIBS) $(CUDA_LIBS)
endef
$(foreach p,$(BUNDLED),$(eval $(call bundled_rule,$(p))))

$(BUILD)/test-cuda-host: $(CUDA_HOST_TEST) $(MODEL_TESTS) $(BUILD)/libgenllava.a $(BUILD)/link.flags
	$(CXX) $(LDFLAGS) -o $@ $(LINKED) $(LIBS) $(TEST_LIBS)
$(BUILD)/asan/test-cuda-host: FORCE
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=address $@
FORCE:

# ---------------------------------------------------------------- what people type
help:
	@sed -n 's/^#: //p' Makefile

#: make             build the programs into build/
#: make deps        install the missing Debian packages (asks for sudo only when not root)
deps:
	@sh tools/deps.sh --all
	@rm -f $(BUILD)/probe.mk

#: make quickstart  the first thing to try: tunes a little model in minutes and scores it (without a driver, CUDA is left out of the build)
#: make quickstart-long  the same, three times as long
quickstart: QUICKSTART := quickstart
quickstart-long: QUICKSTART := quickstart-long --set train.epochs=12
quickstart quickstart-long:
	@sh tools/deps.sh
	@echo "== building"
	@$(MAKE) -s --no-print-directory $(JOBS) $(if $(wildcard /dev/nvidiactl),,CUDA=0) all
	@sh tools/quickstart.sh $(BUILD) $(QUICKSTART)

#: make tour        ten minutes in a terminal: look at data, train, ask, draw, repair, convert, look back; every command is shown first
tour:
	@sh tools/deps.sh
	@$(MAKE) -s --no-print-directory $(JOBS) $(if $(wildcard /dev/nvidiactl),,CUDA=0) all >&2
	@sh tools/tour.sh $(BUILD)

#: make study       what one stage does, beside each task alone, two stages, no task tokens and other losses (a quarter of an hour)
study:
	@sh tools/deps.sh
	@$(MAKE) -s --no-print-directory $(JOBS) $(if $(wildcard /dev/nvidiactl),,CUDA=0) all >&2
	@sh tools/study.sh $(BUILD)

#: make schema      configs/genllava.schema.json anew, which editors check and complete the files of configs/ by
schema: $(BUILD)/train
	@$(BUILD)/train --print-schema > configs/genllava.schema.json.new && mv configs/genllava.schema.json.new configs/genllava.schema.json

#: make base        make the quickstart's base model anew, from random weights
base: all
	@sh tools/base.sh $(BUILD)

#: make base-diffusion  make the tiny Stable Diffusion of configs/base anew, with PyTorch (PYTHON= as for parity)
base-diffusion: all
	@sh tests/oracle/need.sh $(PYTHON)
	@PYTHON=$(PYTHON) sh tools/base_diffusion.sh $(BUILD)

#: make unit T=norm   the tests whose file or name holds "norm", once; builds what they need and no more (CONTRIBUTING.md)
unit:
	@echo "== building"
	@$(MAKE) -s --no-print-directory $(JOBS) $(BUILD)/test-unit
	@$(MAKE) -s --no-print-directory $(JOBS) $(BUILD)/test-unit $$(sh tests/needs.sh $(BUILD) '$(T)')
	@sh tests/run.sh '$(T)' $(BUILD)/test-unit

#: make test        install what is missing, build, run every test, those of the kernels also on emulated CUDA (the program
#:                  test-cuda-host), with and without the address and undefined-behaviour sanitizers; T=norm: only those whose file or
#:                  name holds "norm"
test:
	@sh tools/deps.sh
	@$(MAKE) --no-print-directory $(JOBS) run-tests

# As many jobs as cores, where nothing else was asked for.
JOBS          = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
TEST_PROGRAMS := $(BUILD)/test-unit $(BUILD)/test-cuda-host $(if $(SANITIZE),,$(BUILD)/asan/test-cuda-host)
WITH_GPU      := $(if $(filter 1,$(CUDA_ON)),$(BUILD)/test-gpu $(BUILD)/bench-gpu)
run-tests: all $(TEST_PROGRAMS) $(REFUSING) $(ON_CUDA_HOST) $(BUILD)/libnccl-host.so $(BUILD)/model-gpu $(WITH_GPU)
	@sh tests/run.sh '$(T)' $(TEST_PROGRAMS)

#: make parity      random cases through train and PyTorch side by side; PYTHON=: one with tests/oracle/requirements.txt
#: make fixtures    make the committed parity cases anew (with the same PYTHON)
PYTHON ?= python3
parity: all
	@sh tests/oracle/need.sh $(PYTHON)
	$(PYTHON) tests/oracle/parity.py --build $(BUILD) $(PARITY)
fixtures:
	@sh tests/oracle/need.sh $(PYTHON)
	$(PYTHON) tests/oracle/fixtures.py

#: make test-long   the faults of a run in greater number (1000 kills, 10,000 flipped bits, every request for memory refused), pages of
#:                  report in Chromium where it is installed, other orders of the emulated warps, and the mutations
test-long: all $(BUILD)/test-cuda-host $(REFUSING) mutations
	KILLS=1000 bash tests/cli/train_kill.sh $(BUILD)
	FLIPS=10000 bash tests/cli/train_faults.sh $(BUILD)
	REFUSALS=all bash tests/cli/refused_memory.sh $(BUILD)
	BROWSER=1 bash tests/cli/report.sh $(BUILD) || [ $$? = 77 ]
	for seed in 2 3; do CUDA_HOST_SEED=$$seed sh tests/run.sh keeps_to_the_specification $(BUILD)/test-cuda-host || exit 1; done

#: make fuzz        libFuzzer on every parser, under the sanitizers; F=shard: only that one; FUZZ_SECONDS=60: for each (installs clang)
CLANG ?= clang
FUZZ_SECONDS ?= 60
fuzz:
	@sh tools/deps.sh
	@sh tools/deps.sh clang libclang-rt-dev libomp-dev
	@$(MAKE) -s --no-print-directory $(JOBS) BUILD=$(BUILD)/fuzz CC='$(CLANG)' CXX='$(CLANG)++' CUDA=0 SANITIZE=fuzzer fuzzers
	@FUZZ_SECONDS=$(FUZZ_SECONDS) bash tests/fuzz/run.sh $(BUILD)/fuzz $(F)
fuzzers: $(if $(F),$(BUILD)/fuzz-$(F),$(FUZZERS:%=$(BUILD)/fuzz-%)) $(BUILD)/prepare

#: make mutations   deliberate faults in kernels, of which each must make some emulated test fail; M=NAME: only that one
mutations: $(CUDA_HOST_TEST) $(MODEL_TESTS) $(BUILD)/libgenllava.a
	@bash tests/cuda_host/mutations.sh '$(CXX)' '-Itests/cuda_host $(CPPFLAGS) $(CXXFLAGS)' '$(LDFLAGS) $(LIBS) $(TEST_LIBS)' \
		$(CUDA_HOST_TEST) $(MODEL_TESTS) $(BUILD)/libgenllava.a $(if $(M),-- $(M))

#: make same        proves that a refactoring changed no number: REF=commit and this tree are built without CUDA and make the same runs,
#:                  whose losses, gradients, weights, shards and answers are compared bit by bit; EXCEPT='shard-bytes memory': classes
#:                  or runs that may differ
same:
ifeq ($(REF),)
	@echo "make same needs REF=commit, the state before the refactoring" >&2; exit 2
else
	@sh tests/same.sh fetch $(BUILD) '$(REF)' > /dev/null
	@echo "== building $(REF)"
	@$(MAKE) -s --no-print-directory $(JOBS) -C "$$(sh tests/same.sh fetch $(BUILD) '$(REF)')" BUILD=build CUDA=0 all cuda-host
	@echo "== building this tree"
	@$(MAKE) -s --no-print-directory $(JOBS) BUILD=$(BUILD)/same/new CUDA=0 all cuda-host
	@EXCEPT='$(EXCEPT)' sh tests/same.sh compare $(BUILD) "$$(sh tests/same.sh fetch $(BUILD) '$(REF)')"
endif

#: make cuda-host   build/train-, generate-, evaluate- and doctor-cuda-host, whose device "cuda" is the kernels of kernels/cuda
#:                  emulated on the CPU, slow and strict
cuda-host: $(ON_CUDA_HOST) $(BUILD)/libnccl-host.so

#: make test-gpu    the tests of the kernels on the GPU of this machine, and training on it against PyTorch's numbers
test-gpu:
ifeq ($(CUDA_ON),1)
	@$(MAKE) --no-print-directory $(BUILD)/train $(BUILD)/test-gpu
	@sh tests/run.sh '$(T)' $(BUILD)/test-gpu
else
	@echo "make test-gpu needs the CUDA toolkit; this build is without" >&2; exit 69
endif

#: make asan        the same tests under the address and undefined-behaviour sanitizers (T= as above)
asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=address run-tests

#: make tsan        the tests of what ranks say to one another under the thread sanitizer (T=: other tests; OpenMP is not understood by it)
tsan:
	@$(MAKE) --no-print-directory $(JOBS) BUILD=$(BUILD)/tsan SANITIZE=thread CUDA=0 all $(BUILD)/tsan/test-unit
	@OMP_NUM_THREADS=1 TSAN_OPTIONS=halt_on_error=1:exitcode=66 sh tests/run.sh '$(or $(T),train/dist)' $(BUILD)/tsan/test-unit

#: make format      lay out the sources as .clang-format says (installs clang-format 14); make format-check only looks
SOURCES = $(shell git ls-files '*.c' '*.h' '*.cc' '*.cu' '*.cuh')
format:
	@sh tools/deps.sh clang-format-14
	@sh tools/format.sh $(SOURCES)
format-check:
	@sh tools/format.sh --check $(SOURCES)

#: make check       includes go one way, headers stand alone, banned calls, sizes of files and lines, first comments, layout
check: format-check
	@sh tools/check.sh '$(CC)' '$(CXX)' '$(CPPFLAGS)'

#: make bench       matmuls against the machine's peak; steps of training, memory, convolutions, a UNet, start, pictures, prepare beside
#:                  PyTorch, Pillow and SentencePiece (PYTHON= as for parity; ROW=C3: that row); nothing is measured on a busy machine
bench: all $(BENCHES:%=$(BUILD)/%)
	@ROW='$(ROW)' sh tools/bench/bench.sh $(BUILD) $(PYTHON)

#: make bench-kernels   how near the CPU kernels come to the machine's peaks (ONLY=matmul: lines of that operator)
bench-kernels: $(BUILD)/bench-kernels
	$(BUILD)/bench-kernels $(ONLY)

#: make model-gpu   what steps of Mistral-7B should take on a GPU and on many, on paper (MODEL='--device h200': its options)
hold = $(shell awk -F'|' '$$1 ~ /^$(1) / { print $$5 + 0 }' tools/bench/gpu/targets.txt)
model-gpu: $(BUILD)/model-gpu
	@$(BUILD)/model-gpu --config tools/bench/gpu/r16.json --goal $(call hold,G1) --fit 80 --ranks --efficiency 98 $(MODEL)
	@echo
	@$(BUILD)/model-gpu --config tools/bench/gpu/r128.json --goal $(call hold,G6) --fit 80 --ranks --efficiency 98 $(MODEL)
	@echo
	@$(BUILD)/model-gpu --config tools/bench/gpu/r128.json --set model.lora.dropout=0.05 --fit 80 $(MODEL)
	@echo
	@$(BUILD)/model-gpu --config tools/bench/gpu/three-tasks.json --fit 80 $(MODEL)
	@echo
	@$(BUILD)/model-gpu --config tools/bench/gpu/r16.json --set model.llm.multiply=fp8 --goal $(call hold,G15) --fit 80 $(MODEL)
	@echo
	@$(BUILD)/model-gpu --config tools/bench/gpu/full.json --device h200 --goal $(call hold,G16) --fit 141 $(MODEL)

#: make bench-gpu   what the GPU of this machine reaches, beside its own ceilings and the targets (PYTHON=: PyTorch with CUDA beside it;
#:                  STAGES='step runs': those of tools/bench/gpu_check.sh)
bench-gpu:
ifeq ($(CUDA_ON),1)
	@$(MAKE) --no-print-directory $(BUNDLED:%=$(BUILD)/%)
	@sh tools/bench/gpu_check.sh --bin $(BUILD) --out $(BUILD)/gpu-check --python $(PYTHON) \
		$(or $(STAGES),device step ceilings kernels runs beside unet)
else
	@echo "make bench-gpu needs the CUDA toolkit; this build is without" >&2; exit 69
endif

#: make gpu-bundle  build/gpu-bundle.tar.xz: programs, their libraries, tests and the script gpu-check.sh for a machine that has a GPU with
#:                  its driver and CUDA's libraries, and nothing else
gpu-bundle:
ifeq ($(CUDA_ON),1)
	@$(MAKE) --no-print-directory $(BUNDLED:%=$(BUILD)/gpu-bundle/bin/%)
	@sh tools/bench/gpu_bundle.sh $(BUILD)
else
	@echo "make gpu-bundle needs the CUDA toolkit, but no GPU; this build is without" >&2; exit 69
endif

#: make example-stamps  a set for naming things from the captioned pictures of Tux Paint (Debian package, installed if missing)
example-stamps:
	@sh tools/deps.sh
	@sh tools/deps.sh tuxpaint-stamps-default
	@$(MAKE) --no-print-directory all
	@sh tools/worlds/stamps.sh $(BUILD)

#: make example-curate  pictures to requests, replies (of a stand-in for GPT-4V), records and a run, without a network
example-curate:
	@sh tools/deps.sh
	@$(MAKE) -s --no-print-directory $(JOBS) $(if $(wildcard /dev/nvidiactl),,CUDA=0) all
	@sh tools/worlds/curate.sh $(BUILD)

#: make install     the programs behind the name genllava, configs, manual pages and completion under PREFIX=/usr/local (DESTDIR= before
#:                  it); make uninstall removes what it has put there
install: all
	@sh tools/install.sh install $(BUILD) '$(DESTDIR)' '$(PREFIX)'
uninstall:
	@sh tools/install.sh uninstall $(BUILD) '$(DESTDIR)' '$(PREFIX)'

#: make deb         build/genllava_VERSION_ARCH.deb, a Debian package of the same; make dist: build/genllava-VERSION.tar.gz, the sources of
#:                  the last commit
VERSION = $(shell sed -n 's/.*GENLLAVA_VERSION\[\] = "\(.*\)";/\1/p' kernels/base/cli.c)
deb: all
	@sh tools/deps.sh dpkg-dev
	@sh tools/deb.sh $(BUILD) $(VERSION) $(BUILD)
dist:
	@mkdir -p $(BUILD)
	@git archive -9 --prefix=genllava-$(VERSION)/ -o $(BUILD)/genllava-$(VERSION).tar.gz HEAD
	@echo $(BUILD)/genllava-$(VERSION).tar.gz

#: make clean       remove build/
clean:
	rm -rf $(BUILD)

-include $(patsubst %.o,%.d,$(LIB_OBJ) $(TEST_OBJ) $(FUZZ_OBJ) $(BUILD)/obj/tests/refusing/refusing.o $(CUDA_HOST_TEST) $(CUDA_OBJ) \
                            $(CUDA_DEVICE_TEST) $(foreach p,$(PROGRAMS) $(EXTRAS),$(BUILD)/obj/$(main_$(p):.c=.o)))
