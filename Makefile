# mbus: a pub/sub toolkit for the shell, wire-compatible with go-micro.
#
#	make			builds ./mbus
#	make install		PREFIX=/usr/local DESTDIR=
#	make uninstall
#	make demo		installs what the build needs, builds, and shows one event
#	make check		installs what the tests need and runs all of them
#	make check-long		what takes longer: soak, fuzzing, valgrind
#	make check-more		mqtt with other servers: nats-server, Artemis (Java)
#	make mutate		small edits of the source, and which of them no test notices
#	make unit, make fuzz	the unit tests alone; a minute of each fuzz target
#	make deps, check-deps	install what building, testing needs (Debian packages)
#	make go-programs	the go-micro programs of the tests
#	make help		all targets
#
# Knobs, on the command line of make:
#
# Define V=1 to see the commands.
# Define SANITIZE=address,undefined to build (and check) with sanitizers; such a
# build lives in a build folder of its own.
# Define BUILTIN="http mdns file null" to link those backends into the binary, and
# MODULES="null" to build those as shared objects that are loaded when chosen.
# Define WITHOUT="null" to leave backends out.
# Define EXAMPLE=1 for the example broker of core/broker.h as well (in build-example).
# Define ZLIB=-lz to have zlib as a shared library; else it is linked in, if it can be.
# Define CC, CFLAGS, LDFLAGS as usual.

PREFIX = /usr/local
DESTDIR =
CC = gcc
CFLAGS = -O2 -g
VERSION = 0.2.0

# One word a backend; its sources are the lines below.
BUILTIN = http memory mdns file
MODULES = kafka mqtt nats nsq null paho redis tls $(if $(EXAMPLE),toy)
MODULES += consul dns etcd
WITHOUT =

SRC_http = $(wildcard backends/http/*.c)
SRC_kafka = $(wildcard backends/kafka/*.c)
SRC_memory = $(wildcard backends/memory/*.c)
SRC_mqtt = $(wildcard backends/mqtt/mqtt*.c)
# What the drivers of one broker share.
mqtt_shared = backends/mqtt/mqtt_map.c backends/mqtt/mqtt_options.c backends/mqtt/mqtt_reason.c
SRC_paho = $(wildcard backends/paho/*.c) $(mqtt_shared)
SRC_nats = $(wildcard backends/nats/*.c)
SRC_nsq = $(wildcard backends/nsq/*.c)
SRC_null = backends/null.c
SRC_redis = $(wildcard backends/redis/*.c)
SRC_tls = $(wildcard backends/tls/*.c)
SRC_toy = tests/example/toy.c
SRC_mdns = $(wildcard backends/registry/mdns*.c backends/proto/micro_*.c)
SRC_file = $(wildcard backends/registry/file*.c)

# What registries with a server share.
served = $(wildcard backends/client/*.c) backends/registry/known.c backends/registry/micro_json.c
SRC_consul = $(wildcard backends/registry/consul*.c) $(served)
SRC_dns = backends/registry/dns.c backends/registry/known.c
SRC_etcd = $(wildcard backends/registry/etcd*.c) $(served)

# Libraries: LIBS_x goes to the link of whatever backend x is part of.
LIBS_consul = -lcjson -lz
LIBS_dns = -lresolv
LIBS_etcd = -lcjson
LIBS_kafka = -lrdkafka
LIBS_mdns = -lz
LIBS_paho = -lpaho-mqtt3as -lcrypto
LIBS_tls = -lssl -lcrypto

# Debian packages, for `make deps`: what every build needs, then by backend.
DEPS = gcc libc6-dev
DEPS_consul = libcjson-dev zlib1g-dev
DEPS_etcd = libcjson-dev
DEPS_kafka = librdkafka-dev
DEPS_mdns = zlib1g-dev
DEPS_paho = libpaho-mqtt-dev libssl-dev
DEPS_tls = libssl-dev

# ---- nothing to set below this line ----

SANITIZE =
EXAMPLE =
comma := ,
B := build$(if $(EXAMPLE),-example)$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))

in := $(filter-out $(WITHOUT),$(BUILTIN))
mod := $(filter-out $(WITHOUT) $(in),$(MODULES))

STD = -std=gnu11 -D_GNU_SOURCE -DMBUS_VERSION='"$(VERSION)"' -I. -I$(B)
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wundef -Wvla -Wformat=2 -Wno-missing-field-initializers $(WERROR)
# Hardening: of these flags the ones that the compiler has for this machine and
# these CFLAGS, asked when something is to be compiled. _FORTIFY_SOURCE needs
# optimization, 3 a newer compiler; the sanitizers have checks of their own.
takes = $(shell for f in $(1); do \
	$(CC) $(CFLAGS) -Werror $$f -include stdio.h -x c -S -o - /dev/null > /dev/null 2>&1 && echo $$f; done)
fortify = $(lastword $(call takes,-D_FORTIFY_SOURCE=2 -D_FORTIFY_SOURCE=3))
HARDEN = $(eval HARDEN := -fPIE $(if $(SANITIZE),,$(fortify)) $(call takes, \
	-fstack-protector-strong -fstack-clash-protection -fcf-protection))$(HARDEN)
HARDEN_LD = -Wl,-z,relro,-z,now,-z,noexecstack
# What a start costs: relocations in their short form, and no shared library for mdns,
# where the linker and zlib's package have that.
RELR = $(eval RELR := $(shell echo 'int main(void) { return 0; }' | $(CC) -x c -pie -fPIE -o /dev/null \
	-Wl,--fatal-warnings,-z,pack-relative-relocs - 2> /dev/null && echo -Wl,-z,pack-relative-relocs))$(RELR)
ZLIB = $(eval ZLIB := $(if $(filter /%,$(shell $(CC) -print-file-name=libz.a)),-l:libz.a \
	-Wl$(comma)--exclude-libs$(comma)libz.a,-lz))$(ZLIB)
SAN = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_CFLAGS = $(STD) $(CFLAGS) $(WARN) $(HARDEN) $(SAN) -MMD -MP
ALL_LDFLAGS = $(SAN) -pie -rdynamic -Wl,-O1,--hash-style=gnu,--as-needed $(HARDEN_LD) $(RELR) $(LDFLAGS)

src_core = $(wildcard core/*.c)
src_proto = $(filter-out backends/proto/micro_%,$(wildcard backends/proto/*.c))
src_cli = $(wildcard cli/*.c)
src_in = $(sort $(foreach b,$(in),$(SRC_$(b))))
# ThreadSanitizer is blind for the threads of a library without it.
src_tsan = $(if $(filter thread,$(subst $(comma), ,$(SANITIZE))),tests/tools/c11_threads.c)
src_bin = $(src_core) $(src_proto) $(src_cli) $(src_in) $(src_tsan)
obj = $(patsubst %.c,$(B)/%.o,$(1))
# What unit tests and fuzz targets link: everything but main().
obj_test = $(filter-out $(B)/cli/main.o,$(call obj,$(src_bin)))
libs = $(patsubst -lz,$(ZLIB),$(sort $(foreach b,$(in),$(LIBS_$(b))))) -ldl

Q = $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)	$(2)";)

.PHONY: all install uninstall clean help
all: $(B)/mbus $(mod:%=$(B)/modules/%.so) $(if $(SANITIZE)$(EXAMPLE),,mbus)

# ./mbus, for the hand; the binary itself is under build.
mbus: $(B)/mbus
	$(Q)ln -sf $(B)/mbus $@

$(B)/mbus: $(call obj,$(src_bin))
	$(call say,LD,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(libs)

define module_rule
$(B)/modules/$(1).so: $$(patsubst %.c,$(B)/pic/%.o,$$(SRC_$(1)))
	@mkdir -p $$(@D)
	$$(call say,LD,$$@) $$(CC) $$(SAN) -shared $$(HARDEN_LD) -o $$@ $$^ $$(LIBS_$(1)) $$(LDFLAGS)
endef
$(foreach m,$(mod),$(eval $(call module_rule,$(m))))

# core/ and proto/ keep their symbols visible, for the modules (and so does what stands
# in for libc); all else is hidden.
$(B)/core/%.o $(B)/backends/proto/%.o $(B)/tests/tools/%.o: visibility = default
visibility = hidden
$(B)/pic/%.o: %.c $(B)/config.h Makefile
	@mkdir -p $(@D)
	$(call say,CC,$< (module)) $(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -DMBUS_MODULE -c -o $@ $<
$(B)/%.o: %.c $(B)/config.h Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALL_CFLAGS) -fvisibility=$(visibility) -c -o $@ $<

# Embedded by .incbin, which the compiler's dependencies do not see.
$(B)/cli/complete.o: completions/mbus.bash completions/_mbus completions/mbus.fish

# Which modules this build has: read by core/backend.c. Rewritten only when the
# answer changes.
$(B)/config.h: FORCE
	@mkdir -p $(@D)
	@{ echo '#define BUILT_MODULES $(mod:%="%",)'; \
	 $(if $(EXAMPLE),echo '#define BUILT_EXAMPLE';) } > $@.tmp; \
	 if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi
.PHONY: FORCE
FORCE:

# ---- installing ----

bin = $(DESTDIR)$(PREFIX)/bin
lib = $(DESTDIR)$(PREFIX)/lib/mbus
share = $(DESTDIR)$(PREFIX)/share
man = $(wildcard man/*.[1-9])
man_path = $(share)/man/man$(subst .,,$(suffix $(1)))/$(notdir $(1))
# Where each shell looks for completions/FILE.
completions = $(notdir $(wildcard completions/mbus.bash completions/_mbus completions/mbus.fish))
path_mbus.bash = $(share)/bash-completion/completions/mbus
path__mbus = $(share)/zsh/site-functions/_mbus
path_mbus.fish = $(share)/fish/vendor_completions.d/mbus.fish

install: all
	install -D $(B)/mbus $(bin)/mbus
	$(foreach m,$(mod),install -D -m 644 $(B)/modules/$(m).so $(lib)/$(m).so && ):
	$(foreach m,$(man),install -D -m 644 $(m) $(call man_path,$(m)) && ):
	$(foreach c,$(completions),install -D -m 644 completions/$(c) $(path_$(c)) && ):

uninstall:
	rm -f $(bin)/mbus $(foreach m,$(man),$(call man_path,$(m)))
	rm -f $(foreach c,$(completions),$(path_$(c))) $(mod:%=$(lib)/%.so)
	if [ -d $(lib) ]; then rmdir --ignore-fail-on-non-empty $(lib); fi

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

include tests/check.mk tests/bench/bench.mk

clean:
	rm -rf build build-* mbus

-include $(shell find build* -name '*.d' 2>/dev/null)
