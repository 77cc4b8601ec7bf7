// SPDX-License-Identifier: GPL-2.0
/*
 * Listens to SCMI notifications through arm_scmi's own notifier interface and tells each in the kernel log. Writing
 * "ID RATE" to scmi-clock-rate in debugfs sets a clock's rate by arm_scmi's own call, past the clock framework, so that
 * also a clock can be asked for that no driver was given.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/scmi_protocol.h>

struct listener {
	struct notifier_block nb;
	u8 protocol;
	u8 event;
};

static int told(struct notifier_block *nb, unsigned long event, void *data)
{
	struct listener *l = container_of(nb, struct listener, nb);

	switch (l->protocol) {
	case SCMI_PROTOCOL_POWER: {
		struct scmi_power_state_changed_report *r = data;
		pr_info("scmi-event: power state %u 0x%x\n", r->domain_id, r->power_state);
		break;
	}
	case SCMI_PROTOCOL_PERF:
		if (event == SCMI_EVENT_PERFORMANCE_LEVEL_CHANGED) {
			struct scmi_perf_level_report *r = data;
			pr_info("scmi-event: perf level %u %u\n", r->domain_id, r->performance_level);
		} else {
			struct scmi_perf_limits_report *r = data;
			pr_info("scmi-event: perf limits %u %u..%u\n", r->domain_id, r->range_min, r->range_max);
		}
		break;
	case SCMI_PROTOCOL_SENSOR: {
		struct scmi_sensor_update_report *r = data;
		pr_info("scmi-event: sensor update %u %lld\n", r->sensor_id, r->readings[0].value);
		break;
	}
	}
	return NOTIFY_OK;
}

static void listen(struct scmi_device *sdev, u8 event)
{
	struct listener *l = devm_kzalloc(&sdev->dev, sizeof(*l), GFP_KERNEL);
	int ret = -ENOMEM;

	if (l) {
		l->nb.notifier_call = told;
		l->protocol = sdev->protocol_id;
		l->event = event;
		ret = sdev->handle->notify_ops->devm_event_notifier_register(sdev, sdev->protocol_id, event, NULL,
									     &l->nb);
	}
	pr_info("scmi-event: listening to protocol 0x%x event %u: %d\n", sdev->protocol_id, event, ret);
}

static const struct scmi_clk_proto_ops *clk_ops;
static struct scmi_protocol_handle *clk_ph;

static ssize_t clock_rate_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	char text[32] = "";
	unsigned int id;
	unsigned long rate;
	int ret;

	if (count >= sizeof(text) || copy_from_user(text, from, count))
		return -EINVAL;
	if (sscanf(text, "%u %lu", &id, &rate) != 2)
		return -EINVAL;
	ret = clk_ops->rate_set(clk_ph, id, rate);
	return ret ?: count;
}

static const struct file_operations clock_rate_ops = { .owner = THIS_MODULE, .write = clock_rate_write };

static int probe(struct scmi_device *sdev)
{
	struct scmi_protocol_handle *ph;
	const struct scmi_sensor_proto_ops *ops;

	switch (sdev->protocol_id) {
	case SCMI_PROTOCOL_POWER:
		listen(sdev, SCMI_EVENT_POWER_STATE_CHANGED);
		break;
	case SCMI_PROTOCOL_PERF:
		listen(sdev, SCMI_EVENT_PERFORMANCE_LEVEL_CHANGED);
		listen(sdev, SCMI_EVENT_PERFORMANCE_LIMITS_CHANGED);
		break;
	case SCMI_PROTOCOL_CLOCK:
		clk_ops = sdev->handle->devm_protocol_get(sdev, SCMI_PROTOCOL_CLOCK, &clk_ph);
		if (IS_ERR(clk_ops))
			return PTR_ERR(clk_ops);
		debugfs_create_file("scmi-clock-rate", 0200, NULL, NULL, &clock_rate_ops);
		break;
	case SCMI_PROTOCOL_SENSOR:
		ops = sdev->handle->devm_protocol_get(sdev, SCMI_PROTOCOL_SENSOR, &ph);
		if (IS_ERR(ops))
			return PTR_ERR(ops);
		for (int id = 0; id < ops->count_get(ph); id++) {
			const struct scmi_sensor_info *info = ops->info_get(ph, id);

			if (info && info->update && ops->config_set(ph, id, SCMI_SENS_CFG_SENSOR_ENABLE) == 0)
				pr_info("scmi-event: sensor %d enabled\n", id);
		}
		listen(sdev, SCMI_EVENT_SENSOR_UPDATE);
		break;
	}
	return 0;
}

static const struct scmi_device_id ids[] = {
	{ SCMI_PROTOCOL_POWER, "test-events-power" },
	{ SCMI_PROTOCOL_PERF, "test-events-perf" },
	{ SCMI_PROTOCOL_CLOCK, "test-events-clock" },
	{ SCMI_PROTOCOL_SENSOR, "test-events-sensor" },
	{},
};

static struct scmi_driver events_driver = { .name = "test-events", .probe = probe, .id_table = ids };
module_scmi_driver(events_driver);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Tells SCMI notifications in the kernel log");
