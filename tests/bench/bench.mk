# The peers that mbus is measured against, and what runs them: tests/bench/run.sh.
#
#	make bench		builds them; ROWS="H1 T6" or ROWS=all also measures
#
# They need more packages than the build and the tests do:
BENCH_DEPS = libcurl4-openssl-dev libmicrohttpd-dev apache2-utils wrk curl iproute2 \
	redis-server redis-tools libhiredis-dev mosquitto mosquitto-clients libmosquitto-dev \
	default-jre-headless maven kcat librdkafka-dev

ROWS =
bench_tools = bench_wait bench_lines bench_latency curl_easy curl_multi mhd_server \
	redis_pub redis_sub mqtt_pub mqtt_sub kafka_pub kafka_sub
bench_micro = $(patsubst tests/bench/%.c,%,$(wildcard tests/bench/micro_*.c))

.PHONY: bench bench-deps
bench-deps: deps
	@tests/setup/apt "make bench" $(BENCH_DEPS)
bench: all kafka-server $(bench_tools:%=$(B)/bench/%) $(bench_micro:%=$(B)/bench/%)
	$(if $(ROWS),@MBUS_TEST_BUILD=$(B) tests/bench/run.sh $(if $(filter all,$(ROWS)),,$(ROWS)))

$(B)/bench/curl_%: bench_libs = -lcurl
$(B)/bench/mhd_%: bench_libs = -lmicrohttpd
$(B)/bench/redis_%: bench_libs = -lhiredis
$(B)/bench/mqtt_%: bench_libs = -lmosquitto
$(B)/bench/kafka_%: bench_libs = -lrdkafka
# These measure our own code; run them by hand.
$(bench_micro:%=$(B)/bench/%): $(B)/bench/%: $(B)/tests/bench/%.o $(obj_test)
	@mkdir -p $(@D)
	$(call say,LD,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(libs)
$(bench_tools:%=$(B)/bench/%): $(B)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(STD) $(CFLAGS) $(WARN) -o $@ $< $(bench_libs)
