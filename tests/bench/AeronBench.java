// SPDX-License-Identifier: Apache-2.0
/*
 * Aeron IPC, the anchor of rows S1a, S1b, S4a, S5a and S9, in processes of its own:
 *
 *	AeronBench bus KIND PUBS SUBS N BATCH
 *			N events of 100 bytes with a number that every subscriber checks.
 *			KIND: exclusive (a publication each) or shared; BATCH over 1: exclusive,
 *			by offerBlock
 *	AeronBench rtt N	one event to and fro
 *
 * The media driver has a process, too. Everybody is warm before the first event that
 * counts. Prints one line: seconds, and nanoseconds of CPU an event of publishers,
 * subscribers and the driver; for rtt the median and the 99th percentile in
 * nanoseconds.
 */
import io.aeron.Aeron;
import io.aeron.ExclusivePublication;
import io.aeron.Publication;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import io.aeron.logbuffer.FragmentHandler;
import io.aeron.protocol.DataHeaderFlyweight;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.agrona.BitUtil;
import org.agrona.concurrent.UnsafeBuffer;

public class AeronBench {
	static final int BODY = 100, FRAME = BitUtil.align(32 + BODY, 32), WARM = 1000000;
	static final String CHANNEL = "aeron:ipc?term-length=4m";
	static final int EVENTS = 1, ANSWERS = 2;

	static long cpu() {
		return ((com.sun.management.OperatingSystemMXBean)
			ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
	}

	static Aeron connect(String dir) {
		return Aeron.connect(new Aeron.Context().aeronDirectoryName(dir));
	}

	/* ---- the processes ---- */

	static void driver(String dir) throws Exception {
		try (MediaDriver d = MediaDriver.launch(new MediaDriver.Context()
			.aeronDirectoryName(dir).threadingMode(ThreadingMode.SHARED)
			.dirDeleteOnStart(true).dirDeleteOnShutdown(true))) {
			System.out.println("ready");
			System.in.read();
			long before = cpu();
			System.in.read();
			System.out.println("cpu " + (cpu() - before));
			System.in.read();			// its end
		}
	}

	static void publish(String dir, String kind, int index, long n, int batch) throws Exception {
		UnsafeBuffer body = new UnsafeBuffer(new byte[BODY]);

		try (Aeron aeron = connect(dir)) {
			boolean shared = kind.equals("shared");
			ExclusivePublication own = shared ? null :
				aeron.addExclusivePublication(CHANNEL, EVENTS);
			Publication all = shared ? aeron.addPublication(CHANNEL, EVENTS) : own;
			while (!all.isConnected()) Thread.sleep(1);
			System.out.println("ready");
			System.in.read();
			send(all, own, body, index, 0, WARM, batch);
			System.out.println("warm");
			System.in.read();
			long before = cpu(), begin = System.nanoTime();
			send(all, own, body, index, WARM, n, batch);
			System.out.println("begin " + begin + " cpu " + (cpu() - before));
			System.in.read();			// until the subscribers have it
		}
	}

	static void send(Publication all, ExclusivePublication own, UnsafeBuffer body, int index,
		long from, long n, int batch) {
		UnsafeBuffer block = new UnsafeBuffer(new byte[batch * FRAME]);

		for (long i = from; i < from + n;) {
			int fit = batch > 1 ? Math.min((int)Math.min(batch, from + n - i),
				(own.termBufferLength() - own.termOffset()) / FRAME) : 0;
			if (fit > 0) {
				frames(block, own, index, i, fit);
				if (own.offerBlock(block, 0, fit * FRAME) > 0) i += fit;
				else Thread.yield();
				continue;
			}
			body.putLong(0, (long)index << 48 | i);
			long r = own != null ? own.offer(body, 0, BODY) : all.offer(body, 0, BODY);
			if (r > 0) i++;
			else if (r == Publication.BACK_PRESSURED) Thread.yield();
		}
	}

	static void frames(UnsafeBuffer block, ExclusivePublication own, int index, long number,
		int n) {
		DataHeaderFlyweight h = new DataHeaderFlyweight();

		for (int k = 0, at = 0; k < n; k++, at += FRAME) {
			h.wrap(block, at, 32);
			h.frameLength(32 + BODY).version((short)DataHeaderFlyweight.CURRENT_VERSION)
				.flags((short)DataHeaderFlyweight.BEGIN_AND_END_FLAGS)
				.headerType(DataHeaderFlyweight.HDR_TYPE_DATA);
			h.termOffset(own.termOffset() + at).sessionId(own.sessionId())
				.streamId(own.streamId()).termId(own.termId());
			block.putLong(at + 32, (long)index << 48 | number + k);
		}
	}

	static void subscribe(String dir, int pubs, long n) throws Exception {
		long[] next = new long[pubs], total = { 0 };
		FragmentHandler check = (buffer, offset, length, header) -> {
			long head = buffer.getLong(offset);
			int from = (int)(head >>> 48);
			if (length != BODY || (head & 0xffffffffffffL) != next[from]++) {
				System.err.println("not the next event");
				System.exit(2);
			}
			total[0]++;
		};

		try (Aeron aeron = connect(dir); Subscription s = aeron.addSubscription(CHANNEL, EVENTS)) {
			System.out.println("ready");
			System.in.read();
			poll(s, check, total, (long)pubs * WARM);
			System.out.println("warm");
			System.in.read();
			long before = cpu();
			poll(s, check, total, (long)pubs * WARM + n);
			System.out.println("end " + System.nanoTime() + " cpu " + (cpu() - before));
			System.in.read();
		}
	}

	static void poll(Subscription s, FragmentHandler check, long[] total, long until) {
		for (int idle = 0; total[0] < until;) {
			if (s.poll(check, 256) > 0) idle = 0;
			else if (++idle < 100) Thread.onSpinWait();
			else Thread.yield();
		}
	}

	static void echo(String dir, long n) throws Exception {
		long[] seen = { 0 };
		try (Aeron aeron = connect(dir); Subscription s = aeron.addSubscription(CHANNEL, EVENTS);
		     ExclusivePublication p = aeron.addExclusivePublication(CHANNEL, ANSWERS)) {
			FragmentHandler back = (buffer, offset, length, header) -> {
				while (p.offer(buffer, offset, length) < 0) Thread.onSpinWait();
				seen[0]++;
			};
			System.out.println("ready");
			while (seen[0] < n + WARM)
				if (s.poll(back, 16) == 0) Thread.onSpinWait();
			System.in.read();
		}
	}

	static void ask(String dir, int n) throws Exception {
		UnsafeBuffer body = new UnsafeBuffer(new byte[BODY]);
		long[] took = new long[n], seen = { 0 };

		try (Aeron aeron = connect(dir); Subscription s = aeron.addSubscription(CHANNEL, ANSWERS);
		     ExclusivePublication p = aeron.addExclusivePublication(CHANNEL, EVENTS)) {
			FragmentHandler answer = (buffer, offset, length, header) -> seen[0]++;
			while (!p.isConnected() || !s.isConnected()) Thread.sleep(1);
			for (int i = 0; i < n + WARM; i++) {
				long begin = System.nanoTime();
				while (p.offer(body, 0, BODY) < 0) Thread.onSpinWait();
				while (seen[0] <= i)
					if (s.poll(answer, 16) == 0) Thread.onSpinWait();
				if (i >= WARM) took[i - WARM] = System.nanoTime() - begin;
			}
		}
		Arrays.sort(took);
		System.out.println("took " + took[n / 2] + " " + took[n - 1 - n / 100]);
	}

	/* ---- the parent ---- */

	record Child(Process p, BufferedReader out, PrintStream in) {
		String[] hear(String word) throws Exception {
			String line = out.readLine();
			if (line == null || !line.startsWith(word))
				throw new Exception("a process ended, or said: " + line);
			return line.split(" ");
		}
		void go() { in.print("g"); in.flush(); }
	}
	static final List<Child> children = new ArrayList<>();

	static Child start(Object... args) throws Exception {
		List<String> command = new ArrayList<>(List.of(
			System.getProperty("java.home") + "/bin/java", "-XX:+UseSerialGC", "-Xmx128m",
			"--add-opens", "java.base/jdk.internal.misc=ALL-UNNAMED",
			"--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED",
			"-Dagrona.disable.bounds.checks=true",
			"-cp", System.getProperty("java.class.path"), "AeronBench"));
		for (Object a : args) command.add(a.toString());
		Process p = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT)
			.start();
		Child c = new Child(p, new BufferedReader(new InputStreamReader(p.getInputStream())),
			new PrintStream(p.getOutputStream()));
		children.add(c);
		return c;
	}

	static void bus(String dir, String kind, int pubs, int subs, long n, int batch) throws Exception {
		List<Child> to = new ArrayList<>(), from = new ArrayList<>();
		long begin = Long.MAX_VALUE, end = 0, pubCpu = 0, subCpu = 0;
		Child driver = start("driver", dir);

		driver.hear("ready");
		for (int i = 0; i < subs; i++) to.add(start("sub", dir, pubs, n / pubs * pubs));
		for (Child c : to) c.hear("ready");
		for (int i = 0; i < pubs; i++) from.add(start("pub", dir, kind, i, n / pubs, batch));
		for (Child c : from) c.hear("ready");
		for (Child c : to) c.go();
		for (Child c : from) c.go();
		for (Child c : from) c.hear("warm");
		for (Child c : to) c.hear("warm");
		driver.go();
		for (Child c : to) c.go();
		for (Child c : from) c.go();
		for (Child c : from) {
			String[] w = c.hear("begin");
			begin = Math.min(begin, Long.parseLong(w[1]));
			pubCpu += Long.parseLong(w[3]);
		}
		for (Child c : to) {
			String[] w = c.hear("end");
			end = Math.max(end, Long.parseLong(w[1]));
			subCpu += Long.parseLong(w[3]);
		}
		driver.go();
		long driverCpu = Long.parseLong(driver.hear("cpu")[1]);
		System.out.printf("%.6f %.1f %.1f %.1f%n", (end - begin) / 1e9, (double)pubCpu / n,
			(double)subCpu / n, (double)driverCpu / n);
	}

	public static void main(String[] a) throws Exception {
		switch (a[0]) {
		case "driver": driver(a[1]); return;
		case "pub": publish(a[1], a[2], Integer.parseInt(a[3]), Long.parseLong(a[4]),
			Integer.parseInt(a[5])); return;
		case "sub": subscribe(a[1], Integer.parseInt(a[2]), Long.parseLong(a[3])); return;
		case "echo": echo(a[1], Long.parseLong(a[2])); return;
		case "ask": ask(a[1], Integer.parseInt(a[2])); return;
		}
		File dir = Files.createTempDirectory(new File("/dev/shm").toPath(), "aeron-bench").toFile();
		try {
			if (a[0].equals("bus")) {
				bus(dir + "/d", a[1], Integer.parseInt(a[2]), Integer.parseInt(a[3]),
					Long.parseLong(a[4]), Integer.parseInt(a[5]));
			} else {
				start("driver", dir + "/d").hear("ready");
				start("echo", dir + "/d", a[1]).hear("ready");
				String[] w = start("ask", dir + "/d", a[1]).hear("took");
				System.out.println(w[1] + " " + w[2]);
			}
		} finally {
			for (int i = children.size(); i-- > 0;) {
				children.get(i).in().close();
				if (!children.get(i).p().waitFor(3, java.util.concurrent.TimeUnit.SECONDS))
					children.get(i).p().destroyForcibly();
			}
			new ProcessBuilder("rm", "-rf", dir.toString()).start().waitFor();
		}
	}
}
