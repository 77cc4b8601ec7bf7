// SPDX-License-Identifier: GPL-2.0
/*
 * A device with a clock, a power domain, a reset line and a supply, as any driver's: what its device tree node names it
 * takes from the kernel's own frameworks, and lets the test work it through files beside the device.
 */
#include <linux/clk.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/pm_domain.h>
#include <linux/pm_runtime.h>
#include <linux/regulator/consumer.h>
#include <linux/reset.h>

struct consumer {
	struct clk *clk;
	struct reset_control *reset;
	struct regulator *vdd;
};

#define CONSUMER_READ(name, expression)                                                             \
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf)    \
	{                                                                                           \
		struct consumer *c = dev_get_drvdata(dev);                                          \
		return sysfs_emit(buf, "%ld\n", (long)(expression));                                \
	}
#define CONSUMER_WRITE(name, call)                                                                  \
	static ssize_t name##_store(struct device *dev, struct device_attribute *attr,              \
				    const char *buf, size_t count)                                  \
	{                                                                                           \
		struct consumer *c __maybe_unused = dev_get_drvdata(dev);                           \
		long value;                                                                         \
		int ret = kstrtol(buf, 0, &value);                                                  \
		if (ret)                                                                            \
			return ret;                                                                 \
		ret = (call);                                                                       \
		return ret < 0 ? ret : count;                                                       \
	}

CONSUMER_READ(rate, clk_get_rate(c->clk))
CONSUMER_WRITE(rate, clk_set_rate(c->clk, value))
static DEVICE_ATTR_RW(rate);

CONSUMER_WRITE(clock, value ? clk_prepare_enable(c->clk) : (clk_disable_unprepare(c->clk), 0))
static DEVICE_ATTR_WO(clock);

CONSUMER_WRITE(powered, value ? pm_runtime_resume_and_get(dev) : pm_runtime_put_sync(dev))
static DEVICE_ATTR_WO(powered);

CONSUMER_WRITE(level, dev_pm_genpd_set_performance_state(dev, value))
static DEVICE_ATTR_WO(level);

CONSUMER_WRITE(reset, reset_control_reset(c->reset))
static DEVICE_ATTR_WO(reset);

CONSUMER_READ(voltage, regulator_get_voltage(c->vdd))
CONSUMER_WRITE(voltage, regulator_set_voltage(c->vdd, value, value))
static DEVICE_ATTR_RW(voltage);

CONSUMER_WRITE(supply, value ? regulator_enable(c->vdd) : regulator_disable(c->vdd))
static DEVICE_ATTR_WO(supply);

static struct attribute *consumer_attrs[] = {
	&dev_attr_rate.attr,  &dev_attr_clock.attr,   &dev_attr_powered.attr, &dev_attr_level.attr,
	&dev_attr_reset.attr, &dev_attr_voltage.attr, &dev_attr_supply.attr, NULL,
};
ATTRIBUTE_GROUPS(consumer);

static int consumer_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct consumer *c = devm_kzalloc(dev, sizeof(*c), GFP_KERNEL);

	if (!c)
		return -ENOMEM;
	c->clk = devm_clk_get_optional(dev, NULL);
	if (IS_ERR(c->clk))
		return dev_err_probe(dev, PTR_ERR(c->clk), "clock\n");
	c->reset = devm_reset_control_get_optional_exclusive(dev, NULL);
	if (IS_ERR(c->reset))
		return dev_err_probe(dev, PTR_ERR(c->reset), "reset\n");
	if (of_property_present(dev->of_node, "vdd-supply")) {
		c->vdd = devm_regulator_get(dev, "vdd");
		if (IS_ERR(c->vdd))
			return dev_err_probe(dev, PTR_ERR(c->vdd), "supply\n");
	}
	dev_set_drvdata(dev, c);
	pm_runtime_enable(dev);
	dev_info(dev, "consumer ready\n");
	return 0;
}

static void consumer_remove(struct platform_device *pdev)
{
	pm_runtime_disable(&pdev->dev);
}

static const struct of_device_id consumer_ids[] = { { .compatible = "test,consumer" }, {} };
MODULE_DEVICE_TABLE(of, consumer_ids);

static struct platform_driver consumer_driver = {
	.probe = consumer_probe,
	.remove = consumer_remove,
	.driver = { .name = "test-consumer", .of_match_table = consumer_ids, .dev_groups = consumer_groups },
};
module_platform_driver(consumer_driver);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test consumer of clock, power domain, reset and regulator");
