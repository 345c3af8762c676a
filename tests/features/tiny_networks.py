"""Detectors and backbones with random weights, written as transformers writes them; nothing comes from a hub."""

import torch
from transformers import (
    BitImageProcessorPil,
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessorPil,
    Dinov2Config,
    Dinov2Model,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)


def _resnet(*stages):
    return RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=list(stages),
    )


def _rt_detr():
    config = RTDetrConfig(
        backbone_config=_resnet("stage2", "stage3", "stage4"),
        encoder_in_channels=[16, 16, 16],
        decoder_in_channels=[16, 16, 16],
        encoder_hidden_dim=16,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        decoder_ffn_dim=16,
        decoder_layers=2,
        decoder_attention_heads=2,
        num_queries=50,
        num_labels=7,
    )
    return RTDetrForObjectDetection(config), RTDetrImageProcessorPil(size={"height": 160, "width": 160})


def _detr():
    config = DetrConfig(
        backbone_config=_resnet("stage4"),
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=30,
        num_labels=7,
    )
    return DetrForObjectDetection(config), DetrImageProcessorPil(size={"shortest_edge": 128, "longest_edge": 200})


def _dinov2():
    model = Dinov2Model(
        Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=98, patch_size=14)
    )
    return model, BitImageProcessorPil(size={"shortest_edge": 98}, crop_size={"height": 70, "width": 70})


def _vit():
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=64, patch_size=16
    )
    return ViTModel(config), ViTImageProcessorPil(size={"height": 64, "width": 64})


KINDS = {"rt_detr": _rt_detr, "detr": _detr, "dinov2": _dinov2, "vit": _vit}


def save_networks(folder):
    """Write one network of each kind below a folder; returns the folder's path of each as a string."""
    for name, make in KINDS.items():
        torch.manual_seed(1)
        model, processor = make()
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return {name: str(folder / name) for name in KINDS}
