# The peers that mbus is measured against, and what runs them: tests/bench/run.sh.
#
#	make bench		installs and builds them, and measures all; some 50 minutes
#	make bench ROWS="H1 T6"	these rows only; MARKDOWN=FILE also writes the table there
#			ANCHORS= leaves out Aeron (Java) and iceoryx2 (Rust)
#	make bench-programs	builds them
#	make bench-quick	this build beside another (BASE=main, a commit, or a
#				binary of mbus): a verdict for each row, in three minutes
#	make bench-plot		makes the picture of README.md anew
#
# They need more packages than the build and the tests do:
BENCH_DEPS = libcurl4-openssl-dev libmicrohttpd-dev apache2-utils wrk curl iproute2 \
	redis-server redis-tools libhiredis-dev mosquitto mosquitto-clients libmosquitto-dev \
	default-jre-headless maven kcat librdkafka-dev libzmq3-dev

ROWS = all
MARKDOWN =
BASE = main
ANCHORS = aeron iceoryx
bench_tools = bench_wait bench_lines bench_latency curl_easy curl_multi mhd_server \
	redis_pub redis_sub mqtt_pub mqtt_sub kafka_pub kafka_sub memory_ring zmq_pair stdio_lines
bench_micro = $(patsubst tests/bench/%.c,%,$(wildcard tests/bench/micro_*.c))

.PHONY: bench bench-deps bench-programs bench-quick bench-plot
bench-deps: deps
	@tests/setup/apt "make bench" $(BENCH_DEPS)
bench-programs: all $(bench_tools:%=$(B)/bench/%) $(bench_micro:%=$(B)/bench/%)
bench: bench-deps
	+@$(submake) bench-programs kafka-server go-programs
	@for a in $(ANCHORS); do tests/setup/$$a > /dev/null || echo "make bench: without $$a"; done
	@ANCHORS="$(ANCHORS)" MBUS_TEST_BUILD=$(B) tests/bench/run.sh $(if $(MARKDOWN),-m $(MARKDOWN)) $(filter-out all,$(ROWS))
bench-quick: all $(B)/bench/bench_wait
	@MBUS_TEST_BUILD=$(B) tests/bench/quick.sh $(BASE)
bench-plot: all
	@MBUS_TEST_BUILD=$(B) tests/bench/plot.sh examples/brokers.svg

$(B)/bench/curl_%: bench_libs = -lcurl
$(B)/bench/mhd_%: bench_libs = -lmicrohttpd
$(B)/bench/redis_%: bench_libs = -lhiredis
$(B)/bench/mqtt_%: bench_libs = -lmosquitto
$(B)/bench/kafka_%: bench_libs = -lrdkafka
$(B)/bench/zmq_%: bench_libs = -lzmq
# These measure our own code; run them by hand.
$(bench_micro:%=$(B)/bench/%): $(B)/bench/%: $(B)/tests/bench/%.o $(obj_test)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(libs)
$(bench_tools:%=$(B)/bench/%): $(B)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(STD) $(CFLAGS) $(WARN) -o $@ $< $(bench_libs)
