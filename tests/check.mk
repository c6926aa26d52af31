# What installs the needed packages and checks the build; see the head of the
# Makefile for the targets that are meant to be typed.
#
# Define T="unit bats/pub fuzz" to run only these of the tests.
# Define JOBS=4 for more of them at a time (default: one a processor, at least 2).
# Define FUZZ_SECONDS=60 to give each fuzz target that long.
# Define AUDIT_ROUNDS=100 for so many rounds of random faults a broker (20; check-long:
# 1000), AUDIT_SEED=N to have those of another run again.
# Define M="core/loop.c" or M="--sample 20 --seed 7" for some of the edits of make mutate.
# Define MBUS_CACHE=/some/where for what is downloaded and built for the tests
# (default: .cache here, 2.1 GB).

# Debian packages for the tests, besides those of the build.
CHECK_DEPS = bats clang curl libclang-rt-dev mandoc shellcheck iproute2 ca-certificates python3-venv openssl \
	libhiredis-dev redis-server redis-tools mosquitto mosquitto-clients nats-server \
	default-jre-headless maven kcat curl etcd-server etcd-client tmux jq
LONG_DEPS = valgrind
MORE_DEPS =
build_deps = $(DEPS) $(sort $(foreach b,$(in) $(mod),$(DEPS_$(b))))

T =
JOBS =
FUZZ_SECONDS =
AUDIT_ROUNDS =
AUDIT_SEED =
M =
export JOBS FUZZ_SECONDS AUDIT_ROUNDS AUDIT_SEED MBUS_CACHE

unit = $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c))
fuzz = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

# Test builds have folders of their own.
ASAN = SANITIZE=address,undefined WERROR=-Werror
FUZZ = SANITIZE=fuzzer-no-link,address,undefined B=build-fuzz CC=clang WERROR=-Werror
submake = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: deps check-deps long-deps go-programs kafka-server unit-programs fuzz-programs programs
deps:
	@tests/setup/apt "the build" $(build_deps)
check-deps:
	@tests/setup/apt "make check" $(build_deps) $(CHECK_DEPS)
long-deps:
	@tests/setup/apt "make check-long" $(build_deps) $(CHECK_DEPS) $(LONG_DEPS)

go-programs:
	@tests/go/build
kafka-server:
	@tests/setup/kafka
unit-programs: $(unit:%=$(B)/test/test_%)
fuzz-programs: $(fuzz:%=$(B)/fuzz/fuzz_%)

# Everything that tests/run runs.
programs:
	+@$(submake) all unit-programs
	+@$(submake) EXAMPLE=1 WERROR=-Werror all
	$(if $(SANITIZE),,+@$(submake) $(ASAN) unit-programs)
	+@$(submake) $(FUZZ) fuzz-programs
	@tests/setup/kafka
	@tests/setup/consul
	@tests/go/build

# What cannot be built has failed too.
no_tests = { echo "0 passed, 1 failed, 0 skipped"; exit 1; }

.PHONY: check check-long check-more mutate unit fuzz demo go-demo
check:
	@tests/setup/preflight
	+@$(submake) check-deps && $(submake) programs || $(no_tests)
	@MBUS_TEST_BUILD=$(B) tests/run $(T)
check-long:
	@tests/setup/preflight
	+@$(submake) long-deps && $(submake) programs || $(no_tests)
	@MBUS_TEST_BUILD=$(B) tests/run --long $(T)
check-more:
	@tests/setup/preflight
	+@tests/setup/apt "make check-more" $(build_deps) $(CHECK_DEPS) $(MORE_DEPS) && $(submake) all \
		&& tests/setup/artemis > /dev/null || $(no_tests)
	@MBUS_TEST_BUILD=$(B) tests/run more
mutate:
	@tests/setup/preflight
	+@$(submake) check-deps && $(submake) all unit-programs && tests/setup/kafka && tests/setup/consul && tests/go/build
	@tests/mutate/run $(M)
unit: unit-programs
	@MBUS_TEST_BUILD=$(B) tests/run unit
fuzz:
	+@$(submake) $(FUZZ) fuzz-programs
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) tests/run fuzz
demo: deps
	+@$(submake) all
	@MBUS=$(B)/mbus examples/demo.sh
go-demo:
	@examples/go-micro/run

$(B)/test/test_%: $(B)/tests/unit/test_%.o $(B)/tests/unit/test.o $(obj_test)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(libs)
# What lies in a module is linked to its test.
$(B)/test/test_mqtt $(B)/test/test_mqtt_map: \
	$(call obj,backends/mqtt/mqtt_map.c backends/mqtt/mqtt_reason.c)
ifneq ($(filter kafka,$(in) $(mod)),)
$(B)/tests/unit/test_kafka_conf.o $(B)/tests/unit/test_kafka_fate.o: STD += -DHAVE_KAFKA
$(B)/test/test_kafka_conf $(B)/test/test_kafka_fate: libs += $(LIBS_kafka)
endif
# It loads the module of this build.
$(B)/test/test_tls $(B)/test/test_link_tls: | $(if $(filter tls,$(mod)),$(B)/modules/tls.so)
$(B)/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(obj_test)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(libs) $(LIBS_$(@F))
ifneq ($(filter consul,$(in) $(mod)),)
$(B)/fuzz/fuzz_consul: $(call obj,$(filter-out $(src_bin),$(SRC_consul)))
LIBS_fuzz_consul = $(LIBS_consul)
endif
ifneq ($(filter etcd,$(in) $(mod)),)
$(B)/fuzz/fuzz_etcd: $(call obj,$(filter-out $(src_bin),$(SRC_etcd)))
LIBS_fuzz_etcd = $(LIBS_etcd)
endif
# What a target is held against.
LIBS_fuzz_resp = -lhiredis
.PRECIOUS: $(B)/%.o
